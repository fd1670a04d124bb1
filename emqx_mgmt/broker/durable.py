"""Sessions, subscriptions and wills that survive a restart: each change goes to the journal. `restore` reads them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from gevent.event import Event

from emqx_mgmt.broker.auth.client import remember
from router_ext.engine.retained_delivery import has_pending_retained
from router_ext.engine.stored_sessions import begin_storing, store_subscription

if TYPE_CHECKING:
    from emqx_mgmt.broker.policy import JournalPolicy
    from router_ext.durable.journal import Journal
    from router_ext.engine.engine import Engine
    from router_ext.protocol.packets import Will
    from router_ext.session.session import Session

log = logging.getLogger(__name__)

# The small tables, by their number in the journal (router_ext/durable/journal.pxd).
SESSION, SUBSCRIPTION, AWAITING, WILL, RETAINED, DELAYED = range(6)

JUMP = 1000     # ms; by so much the clock differs, not the moment of looking at it


class StoredSession(msgspec.Struct, array_like=True):
    """The row of a session; `left_at` in unix seconds, None while connected."""

    client_id: str
    username: str | None
    zone: str
    clean_start: bool
    created_at: float
    expiry_interval: int
    left_at: float | None


class StoredWill(msgspec.Struct, array_like=True):
    """The row of a will. `due` in unix seconds while its delay runs, else None; `publisher` as `client.remember` gives
    it (earlier versions wrote none)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]
    due: float | None
    publisher: bytes = b""


class Stored(Protocol):
    """The content of the store at the start; rows are (session number, key, value)."""

    next_sid: int
    next_entry: int
    next_number: int

    messages: dict[int, tuple[int, int]]

    def rows(self, table: str) -> Iterator[tuple[int, bytes, bytes]]:
        """The rows of one of the small tables: session number, key, value."""


encode = msgspec.msgpack.Encoder().encode
decode_session = msgspec.msgpack.Decoder(StoredSession).decode
decode_will = msgspec.msgpack.Decoder(StoredWill).decode


class Durable:
    """Has no effect while `journal` is None."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.journal: Journal | None = None
        # Client ids of connections whose sessions are not stored, and whose wills are.
        self.wills: set[str] = set()
        self.on_lost: Callable[[], None] = lambda: None
        self.on_full: Callable[[str], object] = lambda text: None

    # -- changes of a session ---------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the disk of the store is full: nothing can be stored."""
        return self.journal is not None and self.journal.full

    @property
    def short(self) -> bool:
        """Whether the disk has room left only for clients that fetch what is stored."""
        return self.journal is not None and self.journal.short

    @property
    def awaited(self) -> int:
        """Rises with each record that an acknowledgement may wait for."""
        return 0 if self.journal is None else self.journal.awaited

    def opened(self, session: Session) -> None:
        """A connection has the session. It is stored from the first connection on that it outlives."""
        if self.journal is None:
            return
        if not session.is_stored:
            if not session.expiry_interval:
                return
            begin_storing(self._engine, session)
        self._put(session, None)

    def will_changed(self, session: Session) -> None:
        """Stores the connection's will, also where the session ends with the connection: it is sent after a crash."""
        if self.journal is None:
            return
        self._put_will(session, session.will, None)
        if session.will is not None and not session.is_stored:
            self.wills.add(session.client_id)

    def forget_will(self, session: Session) -> None:
        """The connection is over, and its will is sent now or never."""
        if session.client_id in self.wills and not session.is_stored:
            self.wills.remove(session.client_id)
            self.delete_will(session)

    def left(self, session: Session, will: Will | None, delay: float) -> None:
        """The connection is gone. `will` is one that waits for `delay` seconds, or None."""
        if self.journal is not None and session.is_stored:
            self._put(session, time.time())
            self._put_will(session, will, time.time() + delay)

    def subscribed(self, session: Session, topic: str, options: int, subid: int) -> None:
        """Stores a subscription, and whether retained messages for it are pending: a restart sends them again."""
        if self.journal is not None and session.is_stored:
            key = topic.encode()
            store_subscription(self._engine, session, key, options, subid, has_pending_retained(session, key))

    def afterwards(self, session: Session, call: Callable[[], object]) -> None:
        """Calls once everything stored until now is on disk; at once for a session that is not stored."""
        if session.is_stored:
            self.once_on_disk(call)
        else:
            call()

    def once_on_disk(self, call: Callable[[], object]) -> None:
        """Calls once everything stored until now is on disk; at once where nothing is stored."""
        if self.journal is not None:
            self.journal.when_committed(call)
        else:
            call()

    def delete_will(self, session: Session) -> None:
        """The will was sent, or never will be."""
        if self.journal is not None:
            self._put_will(session, None, None)

    def _put(self, session: Session, left_at: float | None) -> None:
        assert self.journal is not None
        row = StoredSession(session.client_id, session.username, session.zone.name, session.clean_start,
                         session.created_at, session.expiry_interval, left_at)
        self.journal.put(SESSION, session.number, b"", encode(row))

    def _put_will(self, session: Session, will: Will | None, due: float | None) -> None:
        assert self.journal is not None
        key = b"" if session.is_stored else session.client_id.encode()  # below the number 0
        if will is None:
            self.journal.delete(WILL, session.number, key)
            return
        row = StoredWill(will.topic, will.payload, will.qos, will.retain, will.properties, due,
                      remember(will.publisher))
        self.journal.put(WILL, session.number, key, encode(row))

    def wait(self, within: float = 5.0) -> bool:
        """Waits until everything until now is on disk, for `within` seconds at most; False when that was too short.
        Switches greenlets."""
        if self.journal is None:
            return True
        done = Event()
        self.journal.flush_now()
        self.journal.when_committed(done.set)
        return bool(done.wait(within))

    def settle(self, within: float = 5.0) -> bool:
        """As `wait`, until everything is in the tables of the store, where other processes can read it."""
        if self.journal is None:
            return True
        done = Event()
        self.journal.settle(done.set)
        self.journal.flush_now()
        return bool(done.wait(within))

    def arrival(self, number: int, stored_at: int) -> int:
        """The monotonic milliseconds at which message `number` came, from the wall clock in milliseconds that is
        stored."""
        assert self.journal is not None
        arrived: int = self.journal.arrival(number, stored_at)
        return arrived

    # -- what the store says ----------------------------------------------------------------------------

    def store_full(self, text: str) -> None:
        """The store process cannot write; `text` says why."""
        log.error("The message store takes nothing (%s): what would have to be stored is refused until it does.", text)
        self.on_full(text)

    def store_has_room(self) -> None:
        """The store process writes again."""
        log.warning("The message store takes messages again.")
        self.on_full("")

    def store_lost(self) -> None:
        """The store process has ended."""
        self.on_lost()

    # -- the start --------------------------------------------------------------------------------------

    def attach(self, journal: Journal, stored: Stored) -> None:
        """Changes are stored in the journal from now on."""
        self.journal = self._engine.journal = journal
        policy: JournalPolicy = self
        journal.policy = policy
        journal.next_sid, journal.next_entry = stored.next_sid, stored.next_entry
        journal.next_number = stored.next_number
        self.keep_time()

    def keep_time(self) -> None:
        """Messages are stored with the wall clock, which may jump. Differences below JUMP are the delay of this call,
        and are ignored: with them, a message could seem older than the one before."""
        if self.journal is not None:
            offset = int(time.time() * 1000) - self._engine.now
            if abs(offset - self.journal.wall_offset) > JUMP:
                self.journal.set_wall_offset(offset)
