"""Timers of the broker: session expiry, will delays. They run with the tick, ten times a second."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

MANY = 100  # cancelled timers


class Timer:
    """`call` is None once the call was made or cancelled."""

    __slots__ = ("_timers", "call")

    def __init__(self, timers: Timers, call: Callable[[], None]) -> None:
        self._timers = timers
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """The call is not made; nothing happens when it was."""
        if self.call is not None:
            self.call = None
            self._timers.cancelled()


class Timers:
    """Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._idle = 0  # timers of the heap that were cancelled

    def at(self, when: int, call: Callable[[], None]) -> Timer:
        """`call` is made with the first `run` at or after `when`."""
        timer = Timer(self, call)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        return timer

    def run(self, now: int) -> None:
        """Makes the calls that are due."""
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call()
            else:
                self._idle -= 1

    def cancelled(self) -> None:
        """Removes cancelled timers once there are many: that of a resumed session would stay until its session would
        have expired."""
        self._idle += 1
        if self._idle > MANY and self._idle > len(self._heap) // 2:
            self._heap = [row for row in self._heap if row[2].call is not None]
            heapq.heapify(self._heap)
            self._idle = 0
