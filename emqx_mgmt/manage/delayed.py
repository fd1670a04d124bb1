"""Delayed messages for the API: a list without payloads, a single message with its payload, and deletion."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage.errors import NOT_ON_DISK, RequestRefused
from emqx_mgmt.manage.listing import Page, Paging, filtered, in_turns
from emqx_mgmt.manage.payloads import Encoding, shown
from emqx_mgmt.manage.rows import UNDEFINED
from router_ext.protocol.codec import decode_properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.delayed import Pending

COMMIT_WITHIN = 10.0  # seconds


class DelayedRow(Struct, gc=False):
    """`topic` is the topic to which it will be published, in `delayed_remaining` seconds, at `publish_at_ts` (unix
    seconds). `expires_in`: seconds left of the expiry interval, if it has one."""

    id: str
    topic: str
    qos: int
    retain: bool
    client_id: str
    payload_size: int
    publish_at: str
    publish_at_ts: int
    delayed_remaining: int
    expires_in: int | str


class DelayedMessage(DelayedRow):
    """`payload_encoding` is `plain` for UTF-8 text, `base64` for anything else."""

    payload: str
    payload_encoding: Encoding
    properties: dict[str, Any]


class DelayedMessages:
    """The messages are kept, and not published, while emqx_delayed_publish is not loaded."""

    def __init__(self, broker: Broker) -> None:
        self._delayed = broker.delayed
        self._durable = broker.durable

    def page(self, paging: Paging) -> Page:
        """One page, in the order of arrival; after a restart, in the order of due times."""
        if paging.selects:
            return filtered(self._rows(self._delayed), paging)
        wanted = islice(self._delayed, paging.first, paging.first + paging.limit)
        return Page(list(self._rows(wanted)), paging, len(self._delayed))

    def message(self, message_id: str) -> DelayedMessage | None:
        """The message with its payload; None when there is none of that id."""
        place = place_of(message_id)
        pending = self._delayed.get(place)
        if pending is None:
            return None
        message = pending.message
        return DelayedMessage(*_members(place, pending), *shown(message), decode_properties(message.properties))

    def delete(self, message_id: str) -> bool:
        """False when there is none of that id. Returns once the deletion is on disk. Raises RequestRefused when that
        takes too long."""
        if not self._delayed.end(place_of(message_id)):
            return False
        if not self._durable.wait(COMMIT_WITHIN):
            raise RequestRefused(NOT_ON_DISK)
        return True

    def _rows(self, places: Iterable[bytes]) -> Iterator[DelayedRow]:
        for place in in_turns(places):
            pending = self._delayed.get(place)
            if pending is not None:
                yield DelayedRow(*_members(place, pending))


def place_of(message_id: str) -> bytes:
    """The key of an id; for a malformed one, the key of no message."""
    try:
        return bytes.fromhex(message_id)
    except ValueError:
        return b""


def _members(place: bytes, pending: Pending) -> tuple[str, str, int, bool, str, int, str, int, int, int | str]:
    message, now = pending.message, time.monotonic()
    remaining = max(pending.due / 1000 - now, 0.0)
    at = time.time() + remaining
    age = max(now - message.arrived / 1000, 0.0)
    return (
        place.hex(),
        message.topic,
        message.qos,
        message.retain,
        message.client_id,
        len(message.payload),
        datetime_text(at),
        int(at),
        round(remaining),
        UNDEFINED if message.expiry is None else max(message.expiry - int(age), 0),
    )
