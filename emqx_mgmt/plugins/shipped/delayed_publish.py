"""Messages published later: `$delayed/<seconds>/<topic>` (behaviour, 22.12)."""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Iterable

import gevent
import msgspec
from gevent.event import Event

from emqx_mgmt.broker.rounds import next_round
from emqx_mgmt.plugins import Plugin
from router_ext.message import Message
from router_ext.topic import valid_name

PREFIX = "$delayed/"
# Numbers from here on are no delays but points in time, unix seconds.
LONGEST_DELAY = 4294967
# Messages published, read or written between two turns of the loop.
CHUNK = 1000
WRITE_S = 0.01  # between two commits
NEVER_S = 3600.0

TABLE = """
    CREATE TABLE emqx_delayed_publish (
        number  INTEGER PRIMARY KEY,
        due_ms  INTEGER NOT NULL,
        message BLOB NOT NULL
    )
"""


class Stored(msgspec.Struct, array_like=True):
    """A message as the table keeps it. `arrived_ms` is unix time, so that its expiry goes on over a restart."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    client_id: str
    properties: bytes
    expiry: int | None
    arrived_ms: int


class Malformed(ValueError):
    """Not `$delayed/<seconds>/<topic>`."""


# Due in monotonic milliseconds, number, message. A tuple: the garbage collector need not walk a million of them.
Pending = tuple[int, int, Message]


class DelayedPublish(Plugin):
    name = "emqx_delayed_publish"
    description = "EMQ X Delayed Publish"
    tables = (TABLE,)

    def load(self) -> None:
        self._heap: list[Pending] = []
        self._wake, self._changed = Event(), Event()
        self._added: list[tuple[int, int, bytes]] = []
        self._gone: list[int] = []
        self._stored = self._number = self.host.store.run(highest)
        self.host.hook("message.publish", self.take, prefix=PREFIX)
        self.host.spawn(self.release)
        self.host.spawn(self.keep_writing)

    def unload(self) -> None:
        """What is pending stays in the store, and goes on when the plugin is loaded again."""
        self.write()

    def _restore(self) -> None:
        """What an earlier run left, page by page: a million of them must not hold up the start."""
        last = 0
        while rows := self.host.store.run(read_page, last, self._stored):
            wall, monotonic = clocks()
            for number, due_ms, blob in rows:
                heapq.heappush(self._heap, (monotonic + due_ms - wall, number, message_of(blob, monotonic - wall)))
            last = rows[-1][0]

    # -- in ---------------------------------------------------------------------------------------------

    def take(self, message: Message) -> Message | None:
        """Keeps a message back. One that is malformed goes nowhere, and the log says so."""
        wall, monotonic = clocks()
        try:
            delay_ms, topic = parse(message.topic, wall)
        except Malformed as error:
            self.host.log.warning("%s published to %s, which goes nowhere: %s", message.client_id, message.topic, error)
            return None
        self._number += 1
        later = Message.create(topic, message.payload, message.qos, message.retain, message.client_id,
                               message.properties, message.expiry, monotonic)
        heapq.heappush(self._heap, (monotonic + delay_ms, self._number, later))
        self._added.append((self._number, wall + delay_ms, blob_of(later, wall)))
        self._changed.set()
        if self._heap[0][1] == self._number:
            self._wake.set()
        return None

    # -- out --------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Publishes what is due, a chunk at a time; nothing before all of it is there, so that times give the order."""
        self._restore()
        while True:
            now = clocks()[1]
            due = self._heap[0][0] if self._heap else now + NEVER_S * 1000
            if due > now:
                self._wake.clear()
                self._wake.wait((due - now) / 1000)
                continue
            for _ in range(CHUNK):
                if not self._heap or self._heap[0][0] > now:
                    break
                _due, number, message = heapq.heappop(self._heap)
                self._gone.append(number)
                # [MQTT-3.3.2-5] The interval may have passed while the message waited here.
                if message.expiry is None or now - message.arrived < message.expiry * 1000:
                    self.host.broker.route(message, None)
            self._changed.set()
            next_round()

    # -- the store --------------------------------------------------------------------------------------

    def keep_writing(self) -> None:
        """At once; what comes during a commit goes with the next one."""
        while True:
            self._changed.wait()
            self._changed.clear()
            self.write()
            gevent.sleep(WRITE_S)

    def write(self) -> None:
        """All changes since the last time, in one commit."""
        added, self._added = self._added, []
        gone, self._gone = self._gone, []
        if not added and not gone:
            return
        written = set(gone)
        self.host.store.run(write_changes, [row for row in added if row[0] not in written], gone)


def clocks() -> tuple[int, int]:
    """Unix and monotonic milliseconds."""
    return time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000


def parse(topic: str, wall: int) -> tuple[int, str]:
    """Milliseconds to wait and the topic to publish to. Raises Malformed."""
    number, slash, name = topic.removeprefix(PREFIX).partition("/")
    if not slash or not (number.isascii() and number.isdigit()) or len(number) > 12 or not valid_name(name):
        raise Malformed("expected $delayed/<seconds>/<topic>")
    seconds = int(number)
    if seconds < LONGEST_DELAY:
        return seconds * 1000, name
    delay_ms = seconds * 1000 - wall
    if delay_ms > LONGEST_DELAY * 1000:
        raise Malformed(f"the time is more than {LONGEST_DELAY} seconds ahead")
    return max(delay_ms, 0), name


def blob_of(message: Message, wall: int) -> bytes:
    return msgspec.msgpack.encode(Stored(message.topic, message.payload, message.qos, message.retain,
                                         message.client_id, message.properties, message.expiry, wall))


def message_of(blob: bytes, offset: int) -> Message:
    """`offset`: what makes monotonic milliseconds of unix ones."""
    stored = msgspec.msgpack.decode(blob, type=Stored)
    return Message.create(stored.topic, stored.payload, stored.qos, stored.retain, stored.client_id,
                          stored.properties, stored.expiry, stored.arrived_ms + offset)


def highest(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT coalesce(max(number), 0) FROM emqx_delayed_publish").fetchone()[0]
    return number


def read_page(connection: sqlite3.Connection, after: int, last: int) -> list[tuple[int, int, bytes]]:
    rows = connection.execute("SELECT number, due_ms, message FROM emqx_delayed_publish "
                              "WHERE number > ? AND number <= ? ORDER BY number LIMIT ?", (after, last, CHUNK))
    return [tuple(row) for row in rows]


def write_changes(connection: sqlite3.Connection, added: list[tuple[int, int, bytes]], gone: Iterable[int]) -> None:
    connection.execute("BEGIN")
    try:
        connection.executemany("INSERT OR REPLACE INTO emqx_delayed_publish VALUES (?, ?, ?)", added)
        connection.executemany("DELETE FROM emqx_delayed_publish WHERE number = ?", ((number,) for number in gone))
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
