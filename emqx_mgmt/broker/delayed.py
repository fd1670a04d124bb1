"""Delayed messages (behaviour, 22.12), in memory and in the message store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import Event

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.client import recall, remember
from emqx_mgmt.broker.durable import DELAYED
from emqx_mgmt.broker.refused import PacketRefused
from router_ext.engine.stored_sessions import store_message

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client
    from router_ext.engine.engine import Engine
    from router_ext.message.message import Message

# The beginning of a row of the store: unix milliseconds at which it is due, a number. Behind it, `client.remember` of
# the publisher; earlier versions wrote nothing there.
PLACE = 16


class Pending(NamedTuple):
    """A delayed message; `due` in monotonic milliseconds. A tuple, so that the garbage collector need not walk all of
    them."""

    due: int
    message: Message
    publisher: bytes  # `client.remember`

    @property
    def client(self) -> Client | None:
        """The publisher; None where an operator or a plugin published."""
        return recall(self.message.client_id, self.publisher)


@dataclass(slots=True)
class Limits:
    """The most that is kept, of one client and of all; bytes as `size_of` counts them. 0: no limit."""

    messages: int = 0
    bytes: int = 0
    client_messages: int = 0
    client_bytes: int = 0


@dataclass(slots=True)
class Usage:
    """Number and bytes of kept messages."""

    messages: int = 0
    bytes: int = 0

    def passes(self, size: int, messages: int, most: int) -> bool:
        """Whether one more message of `size` bytes exceeds `messages` or `most` bytes."""
        return bool((messages and self.messages >= messages) or (most and self.bytes + size > most))

    def add(self, count: int, size: int) -> None:
        """Either may be negative."""
        self.messages += count
        self.bytes += size


class Delayed:
    """Delayed messages by due time, and by arrival where that is equal. Limits apply to new messages; a store that has
    more at the start keeps them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: dict[bytes, Pending] = {}  # by their places, as they came
        # When they are due, and their places. Those that were deleted are passed over.
        self._heap: list[tuple[int, bytes]] = []
        self._number = 0
        self._by_client: dict[str, Usage] = {}
        self.usage = Usage()
        self.limits = Limits()
        self.refused = 0
        self.changed = Event()  # set when another message is the first

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[bytes]:
        """The keys of all messages at this moment, in the order of arrival."""
        return iter(list(self._kept))

    def get(self, place: bytes) -> Pending | None:
        """None when no message is kept under that key."""
        return self._kept.get(place)

    def add(self, message: Message, delay_ms: int) -> None:
        """Keeps the message for `delay_ms`. Its publisher is acknowledged once it is on disk, as for any stored
        message. Raises PacketRefused where a limit is reached."""
        publisher = remember(message.publisher)
        self._check(message.client_id, size_of(message, publisher))
        wall, monotonic = clocks()
        self._number += 1
        place = (wall + delay_ms).to_bytes(8, "big") + self._number.to_bytes(8, "big")
        message.publisher = None  # what is kept is `publisher`
        self._keep(place, Pending(monotonic + delay_ms, message, publisher))
        heappush(self._heap, (monotonic + delay_ms, place))
        if self._heap[0][1] is place:
            self.changed.set()
        store_message(self._engine, DELAYED, place + publisher, message)

    def restore(self, rows: Iterable[tuple[bytes, Message]]) -> None:
        """Takes over the rows of the store, which are ordered by due time."""
        wall, monotonic = clocks()
        for row, message in rows:
            place = row[:PLACE]
            due = int.from_bytes(place[:8], "big") - wall + monotonic
            self._keep(place, Pending(due, message, row[PLACE:]))
            self._number = max(self._number, int.from_bytes(place[8:], "big"))
        self.rewind()

    def rewind(self) -> None:
        """Makes all kept messages available to `take` again, also those that were taken and not ended."""
        self._heap = [(pending.due, place) for place, pending in self._kept.items()]
        heapify(self._heap)
        self.changed.set()

    @property
    def next_due(self) -> int | None:
        """When the first message is due, in monotonic milliseconds; None where there is none."""
        while self._heap and self._heap[0][1] not in self._kept:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: int, most: int) -> list[tuple[bytes, Pending]]:
        """Up to `most` messages that are due at `now`, with their keys. They stay in the store until `end`."""
        taken: list[tuple[bytes, Pending]] = []
        while len(taken) < most and (due := self.next_due) is not None and due <= now:
            place = heappop(self._heap)[1]
            taken.append((place, self._kept[place]))
        return taken

    def put_off(self, place: bytes, due: int) -> None:
        """Makes a taken message available again at `due`."""
        heappush(self._heap, (due, place))

    def end(self, place: bytes) -> bool:
        """Deletes a message from memory and store; False when it is gone. The deletion goes to disk together with the
        records that its delivery makes."""
        pending = self._kept.pop(place, None)
        if pending is None:
            return False
        self._count(pending, -1)
        if self._engine.journal is not None:
            self._engine.journal.delete(DELAYED, 0, place + pending.publisher)
        if len(self._heap) > 2 * len(self._kept) + 1000:
            self._heap = [one for one in self._heap if one[1] in self._kept]
            heapify(self._heap)
        return True

    # -- limits -----------------------------------------------------------------------------------------

    def _check(self, client_id: str, size: int) -> None:
        limits = self.limits
        its_own = self._by_client.get(client_id)
        if self.usage.passes(size, limits.messages, limits.bytes):
            self._refuse("the broker keeps as many delayed messages as it may")
        if (its_own or Usage()).passes(size, limits.client_messages, limits.client_bytes):
            self._refuse("the broker keeps as many delayed messages of this client as it may")

    def _refuse(self, why: str) -> None:
        self.refused += 1
        raise PacketRefused(reasons.QUOTA_EXCEEDED, why)

    def _keep(self, place: bytes, pending: Pending) -> None:
        self._kept[place] = pending
        self._count(pending, 1)

    def _count(self, pending: Pending, by: int) -> None:
        size, client_id = size_of(pending.message, pending.publisher), pending.message.client_id
        usage = self._by_client.setdefault(client_id, Usage())
        usage.add(by, by * size)
        self.usage.add(by, by * size)
        if not usage.messages:
            del self._by_client[client_id]


def size_of(message: Message, publisher: bytes) -> int:
    """Bytes of a message with all that is kept of it."""
    return (len(message.topic.encode()) + len(message.payload) + len(message.properties)
            + len(message.client_id.encode()) + PLACE + len(publisher))


def clocks() -> tuple[int, int]:
    """Unix and monotonic milliseconds."""
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000
