"""Retained messages for the API: listed without payloads, shown with, deleted by topic or filter."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage.errors import NOT_ON_DISK, RequestRefused
from emqx_mgmt.manage.listing import TURN_ROWS, Page, Paging, filtered, in_turns
from emqx_mgmt.manage.payloads import Encoding, shown
from emqx_mgmt.manage.rows import UNDEFINED
from router_ext.engine.retained_delivery import delete_retained
from router_ext.protocol.codec import decode_properties

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from router_ext.message.message import Message
    from router_ext.message.retained_store import RetainedStore


# Seconds; a store that takes longer has told its own alarm.
COMMIT_WITHIN = 10.0


class RetainedRow(Struct, gc=False):
    """`expires_in`: seconds left, of a message that has an expiry interval; `published_at_ts`: unix seconds."""

    topic: str
    qos: int
    client_id: str
    payload_size: int
    published_at: str
    published_at_ts: int
    expires_in: int | str


class RetainedMessage(RetainedRow):
    """`payload_encoding` is `plain` for UTF-8 text, `base64` for anything else."""

    payload: str
    payload_encoding: Encoding
    properties: dict[str, Any]


class Retained:
    """While no retainer is loaded there is no store: nothing is found, and deletions are refused."""

    def __init__(self, broker: Broker) -> None:
        self._engine = broker.engine
        self._durable = broker.durable

    def page(self, paging: Paging) -> Page:
        """One page, in the order of the store, which stays the same while its topics do."""
        store: RetainedStore | None = self._engine.retained
        if store is None:
            return Page([], paging, 0)
        if paging.selects:
            return filtered((_found(store, topic, row) for topic in in_turns(store.topics())), paging)
        wanted = islice(in_turns(store.topics()), paging.first, paging.first + paging.limit)
        rows = [_found(store, topic, row) for topic in wanted]
        return Page([one for one in rows if one is not None], paging, len(store))

    def message(self, topic: str) -> RetainedMessage | None:
        """The retained message of that topic with its payload; None when there is none."""
        store: RetainedStore | None = self._engine.retained
        return None if store is None else _found(store, topic, whole)

    def delete(self, topic_filter: str) -> int:
        """Deletes the retained messages that the filter matches; returns how many. Subscribers are not informed.
        Returns once it is on disk. Raises RequestRefused when that takes too long."""
        store: RetainedStore | None = self._engine.retained
        if store is None:
            raise RequestRefused("emqx_retainer is not loaded")
        deleted = 0
        cursor = store.search(topic_filter.encode())
        while not cursor.done:
            deleted += sum(delete_retained(self._engine, message.topic.encode()) for message in cursor.take(TURN_ROWS))
            yield_to_loop()
        if not self._durable.wait(COMMIT_WITHIN):
            raise RequestRefused(NOT_ON_DISK)
        return deleted


def row(message: Message) -> RetainedRow:
    """The row of a list, without the payload."""
    return RetainedRow(*_members(message))


def whole(message: Message) -> RetainedMessage:
    """The message with payload and properties."""
    return RetainedMessage(*_members(message), *shown(message), decode_properties(message.properties))


def _members(message: Message) -> tuple[str, int, str, int, str, int, int | str]:
    age = max(time.monotonic() - message.arrived / 1000, 0.0)
    left = UNDEFINED if message.expiry is None else max(message.expiry - int(age), 0)
    came = time.time() - age
    return (
        message.topic,
        message.qos,
        message.client_id,
        len(message.payload),
        datetime_text(came),
        int(came),
        left,
    )


def _found(store: RetainedStore, topic: str, show: Callable[[Message], Any]) -> Any:
    """None when the message is gone by now."""
    message = store.get(topic.encode())
    return None if message is None else show(message)
