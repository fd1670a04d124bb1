"""Figures of the runtime (behaviour, 22.16): memory, garbage, greenlets, hub lag, the largest sessions."""

from __future__ import annotations

import gc
import heapq
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any

import gevent
import greenlet
import psutil
from msgspec import Meta, Struct

from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.plugins import Key, Plugin, Route
from emqx_mgmt.settings.kinds import DURATION_KIND

LAG_S = 1.0
LAGS_KEPT = 60
PIECE = 20_000
# Generations of the collector. The oldest contains every connection, and examining it stops the loop for a moment, so
# it is collected only on request.
MIDDLE, OLDEST = 1, 2


class Collection(Struct):
    """The latest collection that this plugin began: its time, how long it stopped the loop, and what it found."""

    at: int
    pause_ms: float
    found: int


class Memory(Struct):
    """Bytes of the process; counts of the garbage collector by generation."""

    rss: int
    vms: int
    gc_counts: list[int]
    gc_thresholds: list[int]
    gc_collections: list[int]
    gc_uncollectable: int
    latest_collection: Collection | None


class NodeStats(Struct):
    """`hub_lag_ms` is the delay of the loop: the latest value and the highest of the last minute."""

    hub_lag_ms: float
    hub_lag_max_ms: float
    greenlets: int
    threads: int
    connections: int
    sessions: int
    plugin_faults: dict[str, Any]


class LargeSession(Struct):
    client_id: str
    queued: int
    inflight: int
    subscriptions: int
    dropped: int


class Top(Struct):
    top: Annotated[int, Meta(ge=1, le=1000)] = 10


class Recon(Plugin):
    name = "emqx_recon"
    description = "EMQ X Recon Plugin"
    decides = ()
    settings = (
        Key("recon.gc_interval", DURATION_KIND, "5m", "How often younger garbage is collected; 0 for never."),
    )

    def load(self) -> None:
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)
        self._latest: Collection | None = None
        self._process = psutil.Process()
        self.host.spawn(self.measure_lag)
        if self.host.settings["recon.gc_interval"]:
            self.host.every(self.host.settings["recon.gc_interval"], lambda: self.collect(MIDDLE))

    def measure_lag(self) -> None:
        while True:
            asleep = time.monotonic()
            gevent.sleep(LAG_S)
            self._lags.append(max(time.monotonic() - asleep - LAG_S, 0.0) * 1000)

    def collect(self, generation: int) -> None:
        began = time.monotonic()
        found = gc.collect(generation)
        self._latest = Collection(int(time.time()), round((time.monotonic() - began) * 1000, 3), found)

    # -- REST -------------------------------------------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        return (
            Route("recon_memory", "GET", "/recon/memory", "Memory and garbage of the node", self.memory, listed=False),
            Route("recon_gc", "POST", "/recon/gc", "Collect garbage now", self.collect_now, listed=False),
            Route("recon_node_stats", "GET", "/recon/node_stats", "How busy the node is", self.node_stats,
                  listed=False),
            Route("recon_sessions", "GET", "/recon/sessions", "The sessions that hold most", self.sessions, takes=Top,
                  listed=False),
        )

    def memory(self) -> Memory:
        used = self._process.memory_info()
        generations = gc.get_stats()
        return Memory(
            rss=used.rss,
            vms=used.vms,
            gc_counts=list(gc.get_count()),
            gc_thresholds=list(gc.get_threshold()),
            gc_collections=[one["collections"] for one in generations],
            gc_uncollectable=sum(one["uncollectable"] for one in generations),
            latest_collection=self._latest,
        )

    def collect_now(self) -> Collection | None:
        self.collect(OLDEST)
        return self._latest

    def node_stats(self) -> NodeStats:
        broker = self.host.broker
        return NodeStats(
            hub_lag_ms=round(self._lags[-1], 3) if self._lags else 0.0,
            hub_lag_max_ms=round(max(self._lags, default=0.0), 3),
            greenlets=count_greenlets(),
            threads=threading.active_count(),
            connections=broker.online,
            sessions=len(broker.sessions),
            plugin_faults=self.host.services.faults(),
        )

    def sessions(self, params: Top) -> list[LargeSession]:
        """The sessions with the most queued messages."""
        found = []
        for position, session in enumerate(list(self.host.broker.sessions.values())):
            found.append((session.mqueue_len + session.inflight_len, session.subscription_count, position, session))
            if position % PIECE == PIECE - 1:
                found = heapq.nlargest(params.top, found)
                yield_to_loop()
        return [LargeSession(one.client_id, one.mqueue_len, one.inflight_len, one.subscription_count,
                             one.mqueue_dropped) for *_, one in heapq.nlargest(params.top, found)]


def count_greenlets() -> int:
    """The number of greenlets that the collector knows and that run."""
    return sum(isinstance(one, greenlet.greenlet) and not one.dead for one in gc.get_objects())
