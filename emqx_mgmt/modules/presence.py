"""Presence: tells who comes and goes, below `$SYS/brokers/<node>/clients/` (behaviour of EMQ X 3, section 18.1)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.auth.client import Client
    from emqx_mgmt.broker.telemetry.sys_topics import SysTopics
    from router_ext.engine.channel import Channel

log = logging.getLogger(__name__)


class Presence:
    """A client that comes while nobody subscribes below `$SYS` costs one look at the table of subscriptions."""

    def __init__(self, broker: Broker, sys_topics: SysTopics, qos: int) -> None:
        self._broker = broker
        self._sys = sys_topics
        self._qos = qos

    def start(self) -> None:
        log.debug("Who connects and disconnects is told with QoS %d, while somebody subscribes to it", self._qos)
        self._broker.hooks.add("client.connected", self.connected)
        self._broker.hooks.add("client.refused", self.refused)
        self._broker.hooks.add("client.disconnected", self.disconnected)

    def connected(self, client: Client, channel: Channel) -> None:
        self.refused(client, channel, 0)

    def refused(self, client: Client, channel: Channel, code: int) -> None:
        """As EMQ X does: the same news of a CONNECT that was refused, with the reason code."""
        if self._sys.wanted:
            self._tell(client, "connected", {
                "clientid": client.client_id,
                "username": name_of(client),
                "ipaddress": client.peer[0],
                "connack": code,
                "ts": int(time.time()),
                "proto_ver": channel.proto_ver,
                "proto_name": channel.proto_name,
                "clean_start": channel.clean_start,
                "keepalive": channel.keepalive,
            })

    def disconnected(self, client: Client, reason: str) -> None:
        if self._sys.wanted:
            self._tell(client, "disconnected", {
                "clientid": client.client_id,
                "username": name_of(client),
                "reason": reason,
                "ts": int(time.time()),
            })

    def _tell(self, client: Client, event: str, news: dict[str, str | int | bool]) -> None:
        self._sys.publish(f"clients/{client.client_id}/{event}", orjson.dumps(news), self._qos)


def name_of(client: Client) -> str:
    return "undefined" if client.username is None else client.username
