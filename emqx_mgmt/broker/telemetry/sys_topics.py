"""The `$SYS` topics (EMQ X 3, "$SYS system topics").

Topics that are not retained are published only while a client subscribes below `$SYS`, or a handler of
`message.publish` gets every message.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from emqx_mgmt.broker.loop.periodic import Periodic
from emqx_mgmt.broker.telemetry.about import SYSDESCR, VERSION, datetime_text, uptime_text
from router_ext.protocol.topic import valid_name

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker

HEARTBEAT_S = 1.0


class SysTopics:
    """`interval` in seconds, 0 for never; `nodes` gives the names of the running nodes."""

    def __init__(self, broker: Broker, node: str, interval: float, nodes: Callable[[], list[str]],
                 heartbeat: float = HEARTBEAT_S) -> None:
        self._broker = broker
        self._prefix = f"$SYS/brokers/{node}/"
        self._nodes = nodes
        self._started = time.monotonic()
        self._hooked = False
        broker.hooks.watch(self._hooks_changed)
        self._hooks_changed("message.publish")
        self._chores = [Periodic(heartbeat, self.beat), Periodic(interval, self.report)] if interval else []

    def start(self) -> None:
        """Publishes from now on."""
        self._started = time.monotonic()
        for chore in self._chores:
            chore.start()

    def stop(self) -> None:
        """Publishes no more; what is retained stays."""
        for chore in self._chores:
            chore.stop()

    @property
    def wanted(self) -> bool:
        """Whether a message below `$SYS` would reach a subscriber or a handler."""
        return self._hooked or self._broker.router.has_below(b"$SYS")

    def _hooks_changed(self, point: str) -> None:
        """Notes whether a handler gets every message, since `wanted` is read at each connect."""
        if point == "message.publish":
            self._hooked = self._broker.hooks.concerns(point, "$SYS/")

    def publish(self, topic: str, payload: str | bytes, qos: int = 0) -> None:
        """Publishes below this node's part of `$SYS`. Nothing is published where a client id in the topic makes it
        invalid (a wildcard, or too long) [MQTT-3.3.2-2]."""
        if self.wanted and valid_name(self._prefix + topic):
            text = payload.encode() if isinstance(payload, str) else payload
            self._broker.publish(self._prefix + topic, text, qos, client_id="$SYS")

    def beat(self) -> None:
        """Publishes uptime and time."""
        if self.wanted:
            self.publish("uptime", uptime_text(int(time.monotonic() - self._started)))
            self.publish("datetime", datetime_text(time.time()))

    def report(self) -> None:
        """Retains version and description, and publishes statistics and metrics."""
        self._retain("$SYS/brokers", ",".join(self._nodes()))
        self._retain(f"{self._prefix}version", VERSION)
        self._retain(f"{self._prefix}sysdescr", SYSDESCR)
        if self.wanted:
            for name, value in self._broker.stats.rows().items():
                self.publish(f"stats/{name}", str(value))
            for name, value in self._broker.metrics().items():
                self.publish(f"metrics/{name}", str(value))

    def _retain(self, topic: str, payload: str) -> None:
        self._broker.publish(topic, payload.encode(), retain=True, client_id="$SYS")
