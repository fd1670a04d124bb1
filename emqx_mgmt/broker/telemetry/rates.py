"""Rates of each second: messages, bytes, connects."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import gevent
from msgspec import Struct

from emqx_mgmt.broker.loop.periodic import Background

# A member of the sample, and the counters whose growth it is.
GROWTH = {
    "received": ("messages/received",),
    "sent": ("messages/sent",),
    "dropped": ("dropped/queue_full", "dropped/slow_subscriber", "dropped/too_large", "dropped/qos0_offline",
                "dropped/expired", "dropped/acl_denied"),
    "unrouted": ("messages/dropped",),
    "received_bytes": ("bytes/received",),
    "sent_bytes": ("bytes/sent",),
    "connects": ("packets/connect",),
}


class Sample(Struct, frozen=True):
    """The rates of the second that ended at `ts` (unix seconds), or the means of a longer time that ended then:
    messages from clients, to clients, dropped, and without a subscriber; bytes; CONNECT packets. `connections` and
    `subscriptions` are counts at `ts`."""

    ts: int
    received: float
    sent: float
    dropped: float
    unrouted: float
    received_bytes: float
    sent_bytes: float
    connects: float
    connections: int
    subscriptions: int


class Rates(Background):
    """`counters()` and `gauges()` give values by name; `notify(sample)` is called at the end of each second."""

    def __init__(self, counters: Callable[[], Mapping[str, int]], gauges: Callable[[], tuple[int, int]],
                 notify: Callable[[Sample], None]) -> None:
        super().__init__()
        self._counters = counters
        self._gauges = gauges
        self._notify = notify

    def _run(self) -> None:
        before, began = self._counters(), time.monotonic()
        while True:
            gevent.sleep(1 - time.time() % 1)
            counters, now = self._counters(), time.monotonic()
            if now - began >= 0.5:  # the timer may be a little early, and its second then comes twice
                self._notify(self._sample(before, counters, now - began))
                before, began = counters, now

    def _sample(self, before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> Sample:
        grown = {member: round(sum(after[name] - before[name] for name in names) / seconds, 1)
                 for member, names in GROWTH.items()}
        return Sample(round(time.time()), **grown, connections=self._gauges()[0], subscriptions=self._gauges()[1])
