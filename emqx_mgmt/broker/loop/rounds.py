"""Yielding to the event loop in the middle of long work."""

from __future__ import annotations

import os

import gevent

READ = 1

# Always readable. gevent.sleep(0) would not do: libev runs many callbacks before it polls the sockets again.
_READY = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def yield_to_loop() -> None:
    """Returns once every socket that was ready has been served."""
    hub = gevent.get_hub()
    hub.wait(hub.loop.io(_READY, READ))
