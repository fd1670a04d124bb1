"""Publish, subscribe and unsubscribe on behalf of a client."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import MissingParameter
from emqx_mgmt.api.render import Code
from emqx_mgmt.manage import Cluster

QoS = Annotated[int, Meta(ge=0, le=2)]


class Topics(Struct):
    topic: str | UnsetType = UNSET
    topics: str | UnsetType = UNSET

    def split(self) -> list[str]:
        """One request may name several, with commas between them; `topics` counts only without `topic`."""
        given = self.topics if self.topic is UNSET else self.topic
        if given is UNSET:
            raise MissingParameter("topic")
        return [topic for topic in given.split(",") if topic]


class Publish(Topics):
    payload: Any = ""
    qos: QoS = 0
    retain: bool = False
    client_id: str = "http"

    def payload_bytes(self) -> bytes:
        """Text as it is; any other JSON value as JSON text."""
        return self.payload.encode() if isinstance(self.payload, str) else msgspec.json.encode(self.payload)


class Subscribe(Topics, kw_only=True):
    client_id: str
    qos: QoS = 0


class Unsubscribe(Struct):
    topic: str
    client_id: str


def mqtt_publish(cluster: Cluster, params: Publish) -> Code:
    cluster.here.publish(params.split(), params.payload_bytes(), params.qos, params.retain, params.client_id)
    return Code()


def mqtt_subscribe(cluster: Cluster, params: Subscribe) -> Code:
    cluster.with_session(params.client_id).subscribe(params.client_id, params.split(), params.qos)
    return Code()


def mqtt_unsubscribe(cluster: Cluster, params: Unsubscribe) -> Code:
    cluster.with_session(params.client_id).unsubscribe(params.client_id, params.topic)
    return Code()


ENDPOINTS = (
    Endpoint("mqtt_publish", "POST", "/mqtt/publish", "Publish a MQTT message", mqtt_publish, takes=Publish),
    Endpoint("mqtt_subscribe", "POST", "/mqtt/subscribe", "Subscribe a topic", mqtt_subscribe, takes=Subscribe),
    Endpoint(
        "mqtt_unsubscribe",
        "POST",
        "/mqtt/unsubscribe",
        "Unsubscribe a topic",
        mqtt_unsubscribe,
        takes=Unsubscribe,
    ),
)
