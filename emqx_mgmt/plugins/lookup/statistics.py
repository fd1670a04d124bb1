"""Counts and durations of questions to a back-end, and its answers."""

from __future__ import annotations

from collections import Counter, deque

from msgspec import Struct

LATEST = 1000  # durations kept, of the latest questions


class Shown(Struct):
    """`p50_ms` and `p99_ms` are percentiles of the latest thousand questions; None before the first one."""

    asked: int
    cached: int
    allowed: int
    denied: int
    ignored: int
    unavailable: int
    p50_ms: float | None
    p99_ms: float | None
    last_error: str


class Statistics:
    def __init__(self) -> None:
        self.asked = 0
        self.cached = 0
        self.outcomes: Counter[str] = Counter()
        self.last_error = ""
        self._durations: deque[float] = deque(maxlen=LATEST)

    def took(self, seconds: float) -> None:
        """A question to the back-end ended after `seconds`."""
        self.asked += 1
        self._durations.append(seconds)

    def shown(self) -> Shown:
        counts = self.outcomes
        return Shown(self.asked, self.cached, counts["allowed"], counts["denied"], counts["ignored"],
                     counts["unavailable"], self._quantile(0.5), self._quantile(0.99), self.last_error)

    def _quantile(self, share: float) -> float | None:
        durations = sorted(self._durations)
        return round(durations[int(share * (len(durations) - 1))] * 1000, 3) if durations else None
