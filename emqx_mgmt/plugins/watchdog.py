"""A thread that checks whether the loop still turns, and interrupts the plugin that blocks it.

gevent cannot cut code that never waits. The thread sees the loop stand still, finds the plugin by the frames of the
loop's thread, and raises `WatchdogTimeout` into it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from gevent.monkey import get_original

from emqx_mgmt.plugins.faults import WatchdogTimeout, enter
from router_ext.engine.interrupt import interrupt

LOOKS = 5  # checks within the limit
# Code that waits while it blocks the loop uses no processor time. It is interrupted after so many times the limit.
WAITING = 5


class Watchdog:
    """`turned()` returns a value that changes whenever the loop turns. `limit` is the number of seconds of processor
    time for which a plugin may block the loop."""

    def __init__(self, turned: Callable[[], int], limit: float) -> None:
        self._turned = turned
        self._limit = limit
        self._stopped = True
        self._thread = 0
        self._processor_clock = 0

    def start(self) -> None:
        """Begins to watch the calling thread."""
        self._stopped = False
        self._thread = get_original("_thread", "get_ident")()
        self._processor_clock = time.pthread_getcpuclockid(self._thread)
        get_original("_thread", "start_new_thread")(self._run, ())

    def stop(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        sleep = get_original("time", "sleep")
        seen, since, used_since = self._turned(), time.monotonic(), 0.0
        named = False
        while not self._stopped:
            sleep(self._limit / LOOKS)
            turned, now, used = self._turned(), time.monotonic(), time.clock_gettime(self._processor_clock)
            if turned != seen:
                seen, since, used_since, named = turned, now, used, False
                continue
            # Not by the clock, because on a busy machine the whole process may have to wait.
            held = max(used - used_since, (now - since) / WAITING)
            if held >= self._limit:
                named = self._break_in(held, named)

    def _break_in(self, held: float, named: bool) -> bool:
        culprit = interrupt(self._thread, enter.__code__, "watched", held, WatchdogTimeout)
        if culprit is None or named or held < 3 * self._limit:
            return named
        # An exception does not reach code that is in a call into C. It may hold the log's lock, so stderr is written
        # directly.
        line = f"plugin {culprit.plugin}: {culprit.what} holds the processor for {held:.0f} s"
        os.write(2, f"{line} and cannot be interrupted\n".encode())
        return True
