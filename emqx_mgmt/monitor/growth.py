"""The growth of a counter between two calls."""

from __future__ import annotations

from collections.abc import Callable


class Growth:
    """A call returns the growth of `counter()` since the previous call."""

    def __init__(self, counter: Callable[[], int]) -> None:
        self._counter = counter
        self._before = 0

    def __call__(self) -> float:
        before, self._before = self._before, self._counter()
        return self._before - before
