"""Slow subscribers: connected clients for which a message has waited too long, slowest first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from router_ext.engine.slow import waiting_longer

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker

# The most that are kept, and for how long after they were slow last.
MOST, KEPT_S = 1000, 300.0
# Connections between two yields to the event loop.
LOOKS = 5000


class Slow(Struct):
    """`waits_ms`: how long the oldest message for the client had waited at the last look; `highest_ms`: the most ever;
    `topic`: the topic of that message, None where only bytes for the socket wait; `seen_at` in unix seconds."""

    client_id: str
    username: str | None
    waits_ms: int
    topic: str | None
    in_flight: int
    queued: int
    waiting_bytes: int
    highest_ms: int
    seen_at: float


class SlowSubscribers:
    """`threshold()` gives the seconds that a message may wait."""

    def __init__(self, broker: Broker, threshold: Callable[[], float]) -> None:
        self._broker = broker
        self._threshold = threshold
        self._known: dict[str, Slow] = {}
        self.present: list[Slow] = []

    def look(self) -> None:
        """Looks at all connections. Called once a second; yields to the event loop between chunks."""
        now, found, channels = time.time(), [], list(self._broker.engine.channels)
        for start in range(0, len(channels), LOOKS):
            if start:
                yield_to_loop()
            found += waiting_longer(channels[start : start + LOOKS], self._broker.now, now,
                                    int(self._threshold() * 1000))
        self.present = [self._slow(row, now) for row in found]
        self._known.update((slow.client_id, slow) for slow in self.present)
        kept = sorted((slow for slow in self._known.values() if now - slow.seen_at < KEPT_S), key=_rank)[:MOST]
        self._known = {slow.client_id: slow for slow in kept}

    def _slow(self, row: tuple[str, str | None, int, str | None, int, int, int], now: float) -> Slow:
        before = self._known.get(row[0])
        return Slow(*row, max(row[2], before.highest_ms if before is not None else 0), now)

    def ranked(self) -> list[Slow]:
        """The slowest first."""
        return list(self._known.values())

    def forget(self) -> None:
        """The list begins anew."""
        self._known.clear()


def _rank(slow: Slow) -> tuple[int, str]:
    return -slow.highest_ms, slow.client_id
