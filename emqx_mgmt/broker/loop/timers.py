"""Timers of the broker: session expiry, will delays. Coarse: they run with the tick, ten times a second."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

MANY = 100  # taken back


class Timer:
    """A call to come, None once it was made or taken back by `cancel()`."""

    __slots__ = ("_timers", "call")

    def __init__(self, timers: Timers, call: Callable[[], None]) -> None:
        self._timers = timers
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """The call is not made; nothing happens when it was."""
        if self.call is not None:
            self.call = None
            self._timers.taken_back()


class Timers:
    """Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._order = count()
        self._idle = 0  # of the heap, taken back

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

    def taken_back(self) -> None:
        """Sessions that come back would leave their timers here until they would have expired: hours, or for ever."""
        self._idle += 1
        if self._idle > MANY and self._idle > len(self._heap) // 2:
            self._heap = [row for row in self._heap if row[2].call is not None]
            heapq.heapify(self._heap)
            self._idle = 0
