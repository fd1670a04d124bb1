"""Topic metrics as an operator sees and chooses them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import astuple

from emqx_mgmt.broker.about import datetime_text
from emqx_mgmt.broker.topic_metrics import Figures, Metered, TopicMetrics
from emqx_mgmt.manage.errors import Refused
from emqx_mgmt.manage.exposition import COUNTER, Family
from emqx_mgmt.manage.listing import Page, Paging, page_of

if TYPE_CHECKING:
    from emqx_mgmt.storage import MeteredTopics

MOST = 512
NOT_FOUND = "not_found"


class TopicMetricsRow(Struct, gc=False):
    """Counted since `created_at`; rates are a second, in the last ten. `topic` may be a filter."""

    topic: str
    created_at: str
    node: str
    received: int
    sent: int
    received_rate: float
    sent_rate: float
    dropped_rate: float
    received_qos0: int
    received_qos1: int
    received_qos2: int
    sent_qos0: int
    sent_qos1: int
    sent_qos2: int
    queued: int
    acknowledged: int
    dropped: int
    received_bytes: int
    sent_bytes: int


class MeteredRows:
    """`name` is the node's."""

    def __init__(self, name: str, metrics: TopicMetrics, store: MeteredTopics) -> None:
        self._name = name
        self._metrics = metrics
        self._store = store

    def page(self, paging: Paging) -> Page:
        """In the order in which they were chosen."""
        return page_of(self._metrics.all(), paging, self._row)

    def find(self, topic: str) -> TopicMetricsRow | None:
        metered = self._metrics.find(topic)
        return None if metered is None else self._row(metered)

    def add(self, topic: str) -> None:
        if self._metrics.find(topic) is not None:
            raise Refused("already_existed")
        if len(self._metrics) >= MOST:
            raise Refused(f"no more than {MOST} topics can have metrics")
        self._store.add(topic)
        self._metrics.put(topic, time.time())

    def reset(self, topic: str) -> None:
        self._demand(topic)
        self._metrics.put(topic, time.time())

    def remove(self, topic: str) -> None:
        self._demand(topic)
        self._store.remove(topic)
        if self._metrics.find(topic) is not None:  # two may remove it at once
            self._metrics.remove(topic)

    def _demand(self, topic: str) -> None:
        if self._metrics.find(topic) is None:
            raise Refused(NOT_FOUND)

    def families(self) -> Iterator[Family]:
        """The topics are few, and chosen by an operator: they may be labels."""
        figures = [((("topic", one.topic),), one.figures()) for one in self._metrics.all()]
        for name, text, of in (
            ("topic_received_messages_total", "Messages published to a topic that has metrics.", "received"),
            ("topic_sent_messages_total", "Copies of them sent to subscribers.", "sent"),
            ("topic_dropped_messages_total", "Copies of them, or messages without a subscriber, dropped.", "dropped"),
        ):
            yield Family(name, COUNTER, text, [(labels, getattr(one, of)) for labels, one in figures])

    def _row(self, metered: Metered) -> TopicMetricsRow:
        figures: Figures = metered.figures()
        return TopicMetricsRow(
            metered.topic, datetime_text(metered.since), self._name, figures.received, figures.sent,
            metered.rate("received"), metered.rate("sent"), metered.rate("dropped"), *astuple(figures))
