"""Slow subscribers, for the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage.exposition import Family, gauge
from emqx_mgmt.manage.listing import Page, Paging, page_of
from emqx_mgmt.manage.rows import UNDEFINED

if TYPE_CHECKING:
    from emqx_mgmt.broker.telemetry.slow_subscribers import Slow, SlowSubscribers


class SlowSubscriberRow(Struct, gc=False):
    """`waits_ms`: how long the oldest message for the client had waited at `at`; `highest_ms`: the most since it is
    listed; `topic`: of that message, `undefined` where only bytes for its socket wait; `at_ts`: unix seconds."""

    client_id: str
    username: str
    highest_ms: int
    waits_ms: int
    topic: str
    in_flight: int
    queued: int
    waiting_bytes: int
    at: str
    at_ts: int
    node: str


class SlowSubscriberRows:
    """`name` is the node's."""

    def __init__(self, name: str, slow: SlowSubscribers) -> None:
        self._name = name
        self._slow = slow

    def page(self, paging: Paging) -> Page:
        """The slowest first."""
        return page_of(self._slow.ranked(), paging, self._row)

    def forget(self) -> None:
        """The list begins anew."""
        self._slow.forget()

    def families(self) -> Iterator[Family]:
        """Their gauges for `/metrics`."""
        waits = [slow.waits_ms for slow in self._slow.present]
        yield gauge("slow_subscribers", "Connected clients that make a message wait beyond the threshold.", len(waits))
        yield gauge("slowest_subscriber_seconds", "How long the oldest message waits for the slowest of them.",
                    max(waits, default=0) / 1000)

    def _row(self, slow: Slow) -> SlowSubscriberRow:
        return SlowSubscriberRow(
            slow.client_id, UNDEFINED if slow.username is None else slow.username, slow.highest_ms, slow.waits_ms,
            UNDEFINED if slow.topic is None else slow.topic, slow.in_flight, slow.queued, slow.waiting_bytes,
            datetime_text(slow.seen_at), int(slow.seen_at), self._name)
