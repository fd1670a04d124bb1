"""The event loop: turns of the reactor, timers, periodic work."""
