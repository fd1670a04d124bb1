"""One line of the log for each refused CONNECT, as long as they are few."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)

LINES = 20
PERIOD_MS = 10_000


class Refusals:
    """At most LINES in a period, then one line that says how many more there were."""

    def __init__(self) -> None:
        self._began = 0
        self._count = 0

    def refused(self, client_id: str, username: str | None, peer: tuple[str, int], reason: str) -> None:
        """What clients say of themselves is written so that it stays on its line."""
        self._count += 1
        if self._count <= LINES:
            log.warning("CONNECT refused: %s (client id %r, user name %r, from %s:%d)",
                        reason, client_id[:100], username and username[:100], *peer)

    def tick(self, now: int) -> None:
        """`now` in milliseconds."""
        if now - self._began < PERIOD_MS:
            return
        if self._count > LINES:
            log.warning("CONNECT refused: %d more in %d seconds", self._count - LINES, (now - self._began) // 1000)
        self._began, self._count = now, 0
