"""Rounds of the loop, for long work that lets others in between."""

from __future__ import annotations

import os

import gevent

READ = 1

# Always readable. gevent.sleep(0) would not do: dozens of callbacks are run before sockets are looked at again.
_READY = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def yield_to_loop() -> None:
    """Returns when every socket that was ready has had its turn."""
    hub = gevent.get_hub()
    hub.wait(hub.loop.io(_READY, READ))
