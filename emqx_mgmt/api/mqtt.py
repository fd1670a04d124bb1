"""Publish, subscribe and unsubscribe on behalf of a client."""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import chain
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api.batch import each
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter, MissingParameter
from emqx_mgmt.api.render import Code
from emqx_mgmt.manage import Cluster
from router_ext.protocol.topic import valid_name

MAX_TEXT = 0xFFFF  # bytes of an MQTT string
QoS = Annotated[int, Meta(ge=0, le=2)]
T = TypeVar("T", bound=Struct)


class Topics(Struct):
    topic: str | UnsetType = UNSET
    topics: str | list[str] | UnsetType = UNSET

    def split(self) -> list[str]:
        """The topics of a request: `topic`, or without it `topics`, separated by commas. `topics` may be an array, in
        which a comma is part of a topic."""
        given = self.topics if self.topic is UNSET else self.topic
        if given is UNSET:
            raise MissingParameter("topic")
        if isinstance(given, list):
            return given
        return [topic for topic in given.split(",") if topic]


class Properties(Struct, forbid_unknown_fields=True):
    """Properties of MQTT 5 (section 3.3.2.3). `user_properties` is an object, or an array of pairs if a name repeats;
    `correlation_data` is text."""

    payload_format_indicator: Annotated[int, Meta(ge=0, le=1)] | UnsetType = UNSET
    message_expiry_interval: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    response_topic: str | UnsetType = UNSET
    correlation_data: str | UnsetType = UNSET
    user_properties: dict[str, str] | list[tuple[str, str]] | UnsetType = UNSET

    def checked(self) -> dict[str, Any]:
        """The properties by the codec's names; raises BadParameter for a value that MQTT 5 does not allow."""
        found = msgspec.structs.asdict(self)
        found = {name: value for name, value in found.items() if value is not UNSET}
        for name in ("content_type", "response_topic", "correlation_data"):
            _check_text(f"properties.{name}", found.get(name, ""))
        if not valid_name(found.get("response_topic", "x")):  # [MQTT-3.3.2-14]
            raise BadParameter("properties.response_topic", "must be a valid topic name")
        if "correlation_data" in found:
            found["correlation_data"] = found["correlation_data"].encode()
        pairs = found.pop("user_properties", ())
        pairs = list(pairs.items()) if isinstance(pairs, dict) else list(pairs)
        for text in chain.from_iterable(pairs):
            _check_text("properties.user_properties", text)
        return found | ({"user_property": pairs} if pairs else {})


class Publish(Topics):
    """`payload_encoding` says how `payload` is sent. `plain`: text unchanged, any other JSON value as JSON text.
    `json`: every value as JSON text, texts too. `base64`: the bytes that it encodes."""

    payload: Any = ""
    qos: QoS = 0
    retain: bool = False
    client_id: str = "http"
    payload_encoding: Literal["plain", "base64", "json"] = "plain"
    properties: Properties | None = None

    def payload_bytes(self) -> bytes:
        if self.payload_encoding == "base64":
            return _from_base64(self.payload)
        if self.payload_encoding == "plain" and isinstance(self.payload, str):
            return self.payload.encode()
        return msgspec.json.encode(self.payload)

    def checked_properties(self) -> dict[str, Any]:
        return self.properties.checked() if self.properties else {}


class Subscribe(Topics, kw_only=True):
    client_id: str
    qos: QoS = 0


class Unsubscribe(Struct):
    topic: str
    client_id: str


def publish(cluster: Cluster, row: Publish) -> Code:
    cluster.local.clients.publish(
        row.split(),
        row.payload_bytes(),
        row.qos,
        row.retain,
        row.client_id,
        row.checked_properties(),
    )
    return Code()


def subscribe(cluster: Cluster, row: Subscribe) -> Code:
    cluster.with_session(row.client_id).clients.subscribe(row.client_id, row.split(), row.qos)
    return Code()


def unsubscribe(cluster: Cluster, row: Unsubscribe) -> Code:
    cluster.with_session(row.client_id).clients.unsubscribe(row.client_id, row.topic)
    return Code()


def alone(change: Callable[[Cluster, T], Code]) -> Callable[..., Code]:
    """Makes one change; the answer waits until it is on disk."""
    def handler(cluster: Cluster, params: T) -> Code:
        with cluster.local.clients.stored():
            return change(cluster, params)

    return handler


def batch(takes: type[T], change: Callable[[Cluster, T], Code]) -> Callable[..., list[dict[str, Any]]]:
    """Makes many changes; the answer waits until all of them are on disk."""
    def handler(cluster: Cluster, params: list[Any]) -> list[dict[str, Any]]:
        with cluster.local.clients.stored():
            return each(params, takes, lambda row: change(cluster, row))

    return handler


def _check_text(name: str, text: str) -> None:
    """[MQTT-1.5.4-1] [MQTT-1.5.4-2]"""
    if "\0" in text or len(text.encode()) > MAX_TEXT:
        raise BadParameter(name, "must be at most 65535 bytes of UTF-8 without U+0000")


def _from_base64(payload: Any) -> bytes:
    """Line breaks are removed, because encoders insert them: the command `base64` after 76 characters, as MIME (RFC
    2045 section 6.8) and PEM do."""
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except (AttributeError, ValueError):
        raise BadParameter("payload", "must be base64") from None


ENDPOINTS = (
    Endpoint(
        "mqtt_publish",
        "POST",
        "/mqtt/publish",
        "Publish a MQTT message",
        alone(publish),
        takes=Publish,
        audited=False,
    ),
    Endpoint("mqtt_subscribe", "POST", "/mqtt/subscribe", "Subscribe a topic", alone(subscribe), takes=Subscribe),
    Endpoint(
        "mqtt_unsubscribe",
        "POST",
        "/mqtt/unsubscribe",
        "Unsubscribe a topic",
        alone(unsubscribe),
        takes=Unsubscribe,
    ),
    Endpoint(
        "mqtt_publish_batch",
        "POST",
        "/mqtt/publish_batch",
        "Publish MQTT messages",
        batch(Publish, publish),
        takes=Publish,
        batch=True,
        listed=False,
        audited=False,
    ),
    Endpoint(
        "mqtt_subscribe_batch",
        "POST",
        "/mqtt/subscribe_batch",
        "Subscribe topics",
        batch(Subscribe, subscribe),
        takes=Subscribe,
        batch=True,
        listed=False,
    ),
    Endpoint(
        "mqtt_unsubscribe_batch",
        "POST",
        "/mqtt/unsubscribe_batch",
        "Unsubscribe topics",
        batch(Unsubscribe, unsubscribe),
        takes=Unsubscribe,
        batch=True,
        listed=False,
    ),
)
