"""A breaker: while a back-end does not answer, clients are not made to wait for it."""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 5        # in a row, and the breaker opens


class Breaker:
    """Closed while the back-end answers. While it is open nobody but its owner asks, and an answer closes it.

    `changed(is_open)` is called when it opens and when it closes.
    """

    def __init__(self, changed: Callable[[bool], object]) -> None:
        self._changed = changed
        self._failures = 0
        self.is_open = False

    def succeeded(self) -> None:
        self._failures = 0
        if self.is_open:
            self.is_open = False
            self._changed(False)

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self.open()

    def open(self) -> None:
        if not self.is_open:
            self.is_open = True
            self._changed(True)
