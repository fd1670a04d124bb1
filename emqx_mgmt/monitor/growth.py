"""The growth of a counter between two looks."""

from __future__ import annotations

from collections.abc import Callable


class Growth:
    """Called, it returns by how much `counter()` has grown since it was called before."""

    def __init__(self, counter: Callable[[], int]) -> None:
        self._counter = counter
        self._before = 0

    def __call__(self) -> float:
        before, self._before = self._before, self._counter()
        return self._before - before
