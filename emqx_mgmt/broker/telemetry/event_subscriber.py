"""Somebody who hears pieces of text as they come: a queue with a bound between the loop and a slow reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gevent.event import Event

# Who listens: what the name is of, and the name.
Owner = tuple[str, str]

MOST_WAITING = 4096
MOST_BYTES = 1 << 20


class EventSubscriber:
    """`left()` is called once when it is over. One that is told more than it takes is dropped at once, with what waits
    for it: telling never waits for anybody."""

    def __init__(self, owner: Owner, left: Callable[[EventSubscriber], None]) -> None:
        self.owner = owner
        self._left = left
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = Event()
        self.is_over = False

    def put(self, piece: bytes) -> None:
        """Never switches greenlets."""
        if self.is_over:
            return
        self._waiting.append(piece)
        self._bytes += len(piece)
        if len(self._waiting) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._waiting.clear()
            self.end()
        else:
            self._news.set()

    def take(self, within: float) -> bytes | None:
        """All that has come meanwhile, after `within` seconds at the latest; None once it is over."""
        if not self._waiting and not self.is_over:
            self._news.wait(within)
        self._news.clear()
        if not self._waiting and self.is_over:
            return None
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return taken

    def end(self) -> None:
        """What waits is still taken; nothing is told any more."""
        if not self.is_over:
            self.is_over = True
            self._news.set()
            self._left(self)
