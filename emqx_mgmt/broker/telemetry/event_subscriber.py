"""A bounded queue of encoded events between the event loop and one HTTP client."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gevent.event import Event

# The kind of caller (application, user), its name, and the number of its log-in, 0 for none.
Owner = tuple[str, str, int]

MOST_WAITING = 4096
MOST_BYTES = 1 << 20


class EventSubscriber:
    """`owner` is the application or user of the stream. `left(self)` is called once, when the stream is over. A reader
    that lets more than the bound wait loses the stream with all that waits: `put` never blocks."""

    def __init__(self, owner: Owner, left: Callable[[EventSubscriber], None]) -> None:
        self.owner = owner
        self._left = left
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._news = Event()
        self.is_over = False

    def put(self, piece: bytes) -> None:
        """Adds a piece. Never switches greenlets."""
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
        """All pieces that wait, after at most `within` seconds; b"" when none came; None once the stream is over."""
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
        """Ends the stream. Pieces that wait can still be taken."""
        if not self.is_over:
            self.is_over = True
            self._news.set()
            self._left(self)
