"""Topic metrics: counters for chosen topics and topic filters, which the engine keeps from then on."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from router_ext.routing.watch import Watch

if TYPE_CHECKING:
    from router_ext.engine.engine import Engine

# Rates are those of so many seconds.
RATE_S = 10


class Figures(Struct, frozen=True):
    """Counters since the topic was chosen or reset: messages published to it, by QoS; copies sent, queued, acknowledged
    (QoS 1 and 2) and dropped (a message without a subscriber counts as one); bytes of payloads. `topic` may be a
    filter."""

    topic: str
    received: int
    sent: int
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


class Metered:
    """One topic filter; `since` in unix seconds."""

    def __init__(self, topic: str, since: float) -> None:
        self.topic = topic
        self.since = since
        self.watch = Watch(topic)
        self._samples = deque([(time.monotonic(), self.figures())], RATE_S + 1)

    def figures(self) -> Figures:
        """The counters until now."""
        figures = self.watch.figures()
        return Figures(self.topic, sum(figures[:3]), sum(figures[3:6]), *figures)

    def sample(self) -> None:
        """Notes the counters, for rates."""
        self._samples.append((time.monotonic(), self.figures()))

    def rate(self, of: str) -> float:
        """Rates by second, over the latest RATE_S seconds."""
        (began, before), (ended, after) = self._samples[0], self._samples[-1]
        grown = getattr(after, of) - getattr(before, of)
        return float(round(grown / (ended - began), 1)) if ended > began else 0.0


class TopicMetrics:
    """The chosen topics, in the order in which they were chosen."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._metered: dict[str, Metered] = {}

    def __len__(self) -> int:
        return len(self._metered)

    def all(self) -> list[Metered]:
        """In the order in which the topics were added."""
        return list(self._metered.values())

    def find(self, topic: str) -> Metered | None:
        """None for a topic without metrics."""
        return self._metered.get(topic)

    def put(self, topic: str, since: float) -> None:
        """Counts the topic from zero, also where it was counted already."""
        before, self._metered[topic] = self._metered.get(topic), Metered(topic, since)
        if before is not None:
            self._engine.unwatch(before.watch)
        self._engine.watch(self._metered[topic].watch)

    def remove(self, topic: str) -> None:
        """Stops counting the topic, which has to have metrics."""
        self._engine.unwatch(self._metered.pop(topic).watch)

    def sample(self) -> None:
        """Notes all counters. Called once a second."""
        for metered in self._metered.values():
            metered.sample()
