"""A circuit breaker: while a back-end does not answer, clients do not wait for it."""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 5        # consecutive failures after which the breaker opens


class Breaker:
    """Closed while the back-end answers. While it is open, only its owner asks the back-end; an answer closes it.

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
