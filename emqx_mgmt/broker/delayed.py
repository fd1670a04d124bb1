"""Messages to be published later (behaviour, 22.12). The message store has them too, so they survive a restart."""

from __future__ import annotations

import time
from collections.abc import Iterable
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from gevent.event import Event

from emqx_mgmt.broker.durable import DELAYED
from router_ext.stored import store_message

if TYPE_CHECKING:
    from router_ext.engine import Engine
    from router_ext.message import Message


class Delayed:
    """By the time at which they are due, those of the same time as they came."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Due in monotonic milliseconds, row of the store, message. A tuple: the garbage collector need not walk a
        # million of them.
        self._heap: list[tuple[int, bytes, Message]] = []
        self._number = 0
        self.changed = Event()  # set when another message is the first

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, message: Message, delay_ms: int) -> None:
        """The acknowledgement of a client's message waits for the store, as for any that is stored."""
        wall, monotonic = clocks()
        self._number += 1
        row = (wall + delay_ms).to_bytes(8, "big") + self._number.to_bytes(8, "big")
        heappush(self._heap, (monotonic + delay_ms, row, message))
        if self._heap[0][1] is row:
            self.changed.set()
        store_message(self._engine, DELAYED, row, message)

    def restore(self, rows: Iterable[tuple[bytes, Message]]) -> None:
        """What the store has, in the order of its rows, which is that of time."""
        wall, monotonic = clocks()
        for row, message in rows:
            heappush(self._heap, (int.from_bytes(row[:8], "big") - wall + monotonic, row, message))
            self._number = max(self._number, int.from_bytes(row[8:], "big"))
        self.changed.set()

    @property
    def next_due(self) -> int | None:
        """Monotonic milliseconds."""
        return self._heap[0][0] if self._heap else None

    def take(self) -> Message:
        """The first of them, which is forgotten here and in the store. What it leads to goes to disk with that."""
        _due, row, message = heappop(self._heap)
        if self._engine.journal is not None:
            self._engine.journal.delete(DELAYED, 0, row)
        return message


def clocks() -> tuple[int, int]:
    """Unix and monotonic milliseconds."""
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
