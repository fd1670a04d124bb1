"""A count of events, in total and within the last minute."""

from __future__ import annotations

import time
from collections import deque

PERIOD_S = 60.0
MOST = 10_000  # events of the last minute that are counted


class Recent:
    """Counts events: `total` since the start."""

    def __init__(self) -> None:
        self.total = 0
        self._times: deque[float] = deque(maxlen=MOST)

    def happened(self) -> None:
        """Counts one event."""
        self.total += 1
        self._times.append(time.monotonic())

    def within_a_minute(self) -> float:
        """The number of events in the last minute, `MOST` at most."""
        long_ago = time.monotonic() - PERIOD_S
        while self._times and self._times[0] < long_ago:
            self._times.popleft()
        return len(self._times)
