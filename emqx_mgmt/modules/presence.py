"""Presence: publishes connects and disconnects below `$SYS/brokers/<node>/clients/` (behaviour, 18.1)."""

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
    """`qos` of the messages that it publishes. While no client subscribes below `$SYS`, a connect costs one look-up in
    the table of subscriptions."""

    def __init__(self, broker: Broker, sys_topics: SysTopics, qos: int) -> None:
        self._broker = broker
        self._sys = sys_topics
        self._qos = qos

    def start(self) -> None:
        """Adds its handlers."""
        log.debug("Connects and disconnects are published with QoS %d while a client subscribes to them", self._qos)
        self._broker.hooks.add("client.connected", self.connected)
        self._broker.hooks.add("client.refused", self.refused)
        self._broker.hooks.add("client.disconnected", self.disconnected)

    def connected(self, client: Client, channel: Channel) -> None:
        """Handler of `client.connected`."""
        self._publish_connect(client, channel, 0)

    def refused(self, client: Client, channel: Channel, code: int) -> None:
        """Handler of `client.refused`; `code` is CONNACK's."""
        self._publish_connect(client, channel, code)

    def _publish_connect(self, client: Client, channel: Channel, code: int) -> None:
        """Also for a CONNECT that was refused, as EMQ X does: `code` is CONNACK's."""
        if self._sys.wanted:
            self._publish(client, "connected", {
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
        """Handler of `client.disconnected`."""
        if self._sys.wanted:
            self._publish(client, "disconnected", {
                "clientid": client.client_id,
                "username": name_of(client),
                "reason": reason,
                "ts": int(time.time()),
            })

    def _publish(self, client: Client, event: str, news: dict[str, str | int | bool]) -> None:
        self._sys.publish(f"clients/{client.client_id}/{event}", orjson.dumps(news), self._qos)


def name_of(client: Client) -> str:
    """The user name, or `undefined` as EMQ X writes it where there is none."""
    return "undefined" if client.username is None else client.username
