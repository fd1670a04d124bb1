"""Topic metrics, for the API."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.broker.telemetry.topic_metrics import Figures, Metered, TopicMetrics
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.manage.exposition import COUNTER, Family
from emqx_mgmt.manage.listing import Page, Paging, page_of

if TYPE_CHECKING:
    from emqx_mgmt.storage import MeteredTopics

MOST = 512
NOT_FOUND = "not_found"


class TopicMetricsRow(Figures, frozen=True):
    """Counters since `created_at` (`created_at_ts` in unix seconds); rates by second, over the last ten."""

    received_rate: float
    sent_rate: float
    dropped_rate: float
    created_at: str
    created_at_ts: int
    node: str


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
        """None for a topic without metrics."""
        metered = self._metrics.find(topic)
        return None if metered is None else self._row(metered)

    def add(self, topic: str) -> None:
        """Counts the topic from now on, also after a restart. Raises RequestRefused when it is counted already, or too
        many are."""
        if self._metrics.find(topic) is not None:
            raise RequestRefused("already_existed")
        if len(self._metrics) >= MOST:
            raise RequestRefused(f"no more than {MOST} topics can have metrics")
        self._store.add(topic)
        self._metrics.put(topic, time.time())

    def reset(self, topic: str) -> None:
        """Its counters begin at 0. Raises RequestRefused for a topic without metrics."""
        self._demand(topic)
        self._metrics.put(topic, time.time())

    def remove(self, topic: str) -> None:
        """Stops counting the topic. Raises RequestRefused for a topic without metrics."""
        self._demand(topic)
        self._store.remove(topic)
        if self._metrics.find(topic) is not None:  # two may remove it at once
            self._metrics.remove(topic)

    def _demand(self, topic: str) -> None:
        if self._metrics.find(topic) is None:
            raise RequestRefused(NOT_FOUND)

    def families(self) -> Iterator[Family]:
        """Their counters for `/metrics`, with the label `topic`: topics are few, since an operator chooses them."""
        figures = [((("topic", one.topic),), one.figures()) for one in self._metrics.all()]
        for name, text, of in (
            ("topic_received_messages_total", "Messages published to a topic that has metrics.", "received"),
            ("topic_sent_messages_total", "Copies of them sent to subscribers.", "sent"),
            ("topic_dropped_messages_total", "Copies of them, or messages without a subscriber, dropped.", "dropped"),
        ):
            yield Family(name, COUNTER, text, [(labels, getattr(one, of)) for labels, one in figures])

    def _row(self, metered: Metered) -> TopicMetricsRow:
        return TopicMetricsRow(
            **asdict(metered.figures()), received_rate=metered.rate("received"), sent_rate=metered.rate("sent"),
            dropped_rate=metered.rate("dropped"), created_at=datetime_text(metered.since),
            created_at_ts=int(metered.since), node=self._name)
