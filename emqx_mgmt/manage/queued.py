"""The messages that are queued for a session, for the API: from the message store, or from memory where nothing is
stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from msgspec import Struct

from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage.listing import TURN_ROWS, Page, Paging, filtered, in_turns
from emqx_mgmt.manage.rows import UNDEFINED
from emqx_mgmt.storage.messages.queued import Queued, look
from router_ext.engine.inspect import queued

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from router_ext.message.message import Message
    from router_ext.session.session import Session


class QueuedMessage(Struct, gc=False):
    """`expires_in`: seconds left, of a message that has an expiry interval; `published_at_ts`: unix seconds."""

    topic: str
    qos: int
    retain: bool
    payload_size: int
    published_at: str
    published_at_ts: int
    expires_in: int | str


class QueuedMessages:
    """`data_dir` has the message store."""

    def __init__(self, broker: Broker, data_dir: Path) -> None:
        self._broker = broker
        self._data_dir = data_dir

    def page(self, client_id: str, paging: Paging) -> Page:
        """One page, oldest first; empty for a client without a session."""
        session = self._broker.sessions.get(client_id)
        if session is None:
            return Page([], paging, 0)
        if paging.selects:
            return filtered(self._rows(session, 0, session.mqueue_len), paging)
        return Page(list(self._rows(session, paging.first, paging.limit)), paging, session.mqueue_len)

    def _rows(self, session: Session, first: int, limit: int) -> Iterator[QueuedMessage]:
        if session.is_stored:
            return self._from_store(session, first, limit)
        return (of_memory(*one) for one in in_turns(queued(session, first, limit)))

    def _from_store(self, session: Session, first: int, limit: int) -> Iterator[QueuedMessage]:
        """Reads on a thread, part by part: the queue may be much larger than the page."""
        pool, after, skip, durable = gevent.get_hub().threadpool, 0, first, self._broker.durable
        durable.settle()
        while limit > 0:
            found = pool.apply(look, (self._data_dir, session.number, after, skip, min(limit, TURN_ROWS)))
            yield from (of_store(one, durable.arrival(one.number, one.stored_at)) for one in found)
            if not found:
                return
            after, skip = found[-1].entry, 0
            limit -= len(found)


def of_store(one: Queued, arrived: int) -> QueuedMessage:
    """The row of a message that only the store has; `arrived` in monotonic milliseconds."""
    return row(one.topic, one.qos, one.retain, one.payload_size, arrived, one.expiry)


def of_memory(message: Message, qos: int, retain: bool) -> QueuedMessage:
    """The row of a message in the session's queue."""
    return row(message.topic, qos, retain, len(message.payload), message.arrived, message.expiry)


def row(topic: str, qos: int, retain: bool, size: int, arrived: int, expiry: int | None) -> QueuedMessage:
    """`arrived` in monotonic milliseconds."""
    age = max(time.monotonic() - arrived / 1000, 0)
    left = UNDEFINED if expiry is None else max(expiry - int(age), 0)
    came = time.time() - age
    return QueuedMessage(topic, qos, retain, size, datetime_text(came), int(came), left)
