"""The start of the broker: sessions, subscriptions, wills, retained and delayed messages as the store has them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from emqx_mgmt.broker.auth.client import DEFAULT_ZONE, recall
from emqx_mgmt.broker.durable import RETAINED, Durable, Stored, StoredSession, StoredWill, decode_session, decode_will
from router_ext.engine.retained_delivery import queue_retained
from router_ext.engine.stored_sessions import restore_message, restore_session, stored_at
from router_ext.protocol.packets import Will
from router_ext.protocol.topic import split_share
from router_ext.session.session import Session

if TYPE_CHECKING:
    from emqx_mgmt.broker.delayed import Delayed
    from emqx_mgmt.broker.sessions import Sessions
    from router_ext.engine.engine import Engine
    from router_ext.message.retained_store import RetainedStore
    from router_ext.session.zone import Zone

log = logging.getLogger(__name__)


class Restore:
    """`stored` is what the store has, `retained` the store of retained messages, which is empty; `zone_of` gives a zone
    by its name. Runs once, before the broker has clients."""

    def __init__(self, engine: Engine, durable: Durable, manager: Sessions, delayed: Delayed, *, stored: Stored,
                 retained: RetainedStore, zone_of: Callable[[str], Zone]) -> None:
        self._engine = engine
        self._durable = durable
        self._manager = manager
        self._delayed = delayed
        self._stored = stored
        self._retained = retained
        self._zone_of = zone_of

    def run(self) -> None:
        """Restores everything but queued messages, which are read once their client connects."""
        rows = {sid: decode_session(value) for sid, _, value in self._stored.rows("session")}
        sessions = self._restore_sessions(rows)
        pending = []
        for sid, topic, value in self._stored.rows("subscription"):
            if sid in sessions:
                options, subid, *has_pending = msgspec.msgpack.decode(value)
                group, topic_filter = split_share(topic.decode())
                self._engine.router.subscribe(topic_filter.encode(), sessions[sid], options, subid,
                                              group.encode() if group else None)
                if has_pending:
                    pending.append((sessions[sid], topic, options, subid))
        self._restore_retained()
        for session, topic, options, subid in pending:
            queue_retained(session, self._retained.search(topic), options, subid)
        self._delayed.restore(
            (row, restore_message(self._engine, body)) for _, row, body in self._stored.rows("delayed"))
        for sid, session in list(sessions.items()):
            if self._engine.sessions[session.client_id] is not session:
                del sessions[sid]   # it had ended, but not all that it left had gone to others
                self._manager.drop(session)
        wills = {(sid, client_id): decode_will(value) for sid, client_id, value in self._stored.rows("will")}
        now = time.time()
        for sid, session in sessions.items():
            self._leave(session, rows[sid], wills.get((sid, b"")), now)
        for (sid, client_id), will in wills.items():
            if sid == 0:
                self._send_will(client_id.decode(), will)
        delayed = len(self._delayed)
        if sessions or len(self._retained) or delayed:
            log.info("Restored %d sessions, %d retained messages and %d delayed ones.",
                     len(sessions), len(self._retained), delayed)

    def _restore_sessions(self, rows: dict[int, StoredSession]) -> dict[int, Session]:
        awaiting: dict[int, list[int]] = {}
        for sid, pid, _ in self._stored.rows("awaiting"):
            awaiting.setdefault(sid, []).append(int.from_bytes(pid, "little"))
        sessions = {}
        for sid, row in rows.items():
            session = Session(
                row.client_id, self._zone_of(row.zone), username=row.username, clean_start=row.clean_start,
                created_at=row.created_at, expiry_interval=row.expiry_interval)
            count, in_flight = self._stored.messages.get(sid, (0, 0))
            restore_session(self._engine, session, sid, count, in_flight, awaiting.get(sid, []))
            sessions[sid] = session
            self._manager.restored(session)
        return sessions

    def _restore_retained(self) -> None:
        """Oldest first. Messages that expired meanwhile are deleted from the store."""
        journal = self._engine.journal
        assert journal is not None
        bodies = sorted((body for _, _, body in self._stored.rows("retained")), key=stored_at)
        for message in (restore_message(self._engine, body) for body in bodies):
            if message.expiry is not None and message.arrived + message.expiry * 1000 <= self._engine.now:
                journal.delete(RETAINED, 0, message.topic.encode())
            else:
                self._retained.add(message)

    def _send_will(self, client_id: str, row: StoredWill) -> None:
        """Sends the will of a client that was connected when the broker ended, and whose session ended with it
        [MQTT-3.1.2-8]."""
        will = will_of(client_id, row)
        zone = self._zone_of(will.publisher.zone if will.publisher else DEFAULT_ZONE)
        session = Session(client_id, zone, created_at=time.time())
        self._manager.publish_will(session, will)
        self._durable.delete_will(session)

    def _leave(self, session: Session, row: StoredSession, will: StoredWill | None, now: float) -> None:
        """Leaves a session that was connected when the broker ended, and continues the will delay and the expiry of any
        other. If the wall clock was set back meanwhile, neither waits longer than it had to at first."""
        left = None if will is None else will_of(session.client_id, will)
        if row.left_at is None:
            session.set_will(left)
            self._manager.leave(session, send_will=True)
            return
        since = max(now, row.left_at)
        remaining = row.expiry_interval - (since - row.left_at)
        delay = 0.0 if will is None or will.due is None else max(will.due - since, 0)
        self._manager.wait(session, left, delay, remaining)


def will_of(client_id: str, row: StoredWill) -> Will:
    """The will as it was stored, with the client that published it."""
    will = Will(row.topic, row.payload, row.qos, row.retain, row.properties)
    will.publisher = recall(client_id, row.publisher) if row.publisher else None
    return will
