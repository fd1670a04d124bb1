"""Batches (behaviour, section 23), payloads in every form, and MQTT 5 properties (MQTT 5.0, section 3.3.2.3)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client


@pytest.fixture
def listener(broker: BrokerProcess) -> Iterator[Client]:
    """An MQTT 5 client that is subscribed over REST."""
    rows = [{"client_id": "listener5", "topic": "in/#", "qos": 1}]
    with Client(broker.mqtt_port, "listener5", version=paho.MQTTv5) as client:
        assert broker.api("POST", "mqtt/subscribe_batch", json=rows).json() == [
            {"topic": "in/#", "client_id": "listener5", "code": 0}]
        yield client


def test_every_row_of_a_batch_has_its_own_result(broker: BrokerProcess, listener: Client) -> None:
    rows = [
        {"topic": "in/1", "payload": "one", "qos": 1},
        {"topic": "in/#", "payload": "no name"},
        {"topic": "in/2", "qos": 3},
        "no object",
        {"payload": "nowhere"},
        {"topics": "in/3,in/4", "payload": "two"},
        {"topics": ["in/5,6"], "payload": "with a comma"},
    ]
    results = broker.api("POST", "mqtt/publish_batch", json=rows).json()
    assert [result["code"] for result in results] == [0, 115, 108, 109, 107, 0, 0]
    assert [result.get("topic") or result.get("topics") for result in results] == [
        "in/1", "in/#", "in/2", None, None, "in/3,in/4", ["in/5,6"]]
    assert all(result["message"] for result in results if result["code"])
    assert [(one.topic, one.payload) for one in (listener.receive() for _ in range(4))] == [
        ("in/1", b"one"), ("in/3", b"two"), ("in/4", b"two"), ("in/5,6", b"with a comma")]


def test_envelope_style_wraps_the_results(broker: BrokerProcess) -> None:
    rows = [{"topic": "nobody", "payload": "x"}]
    answer = broker.api("POST", "mqtt/publish_batch?_style=envelope", json=rows)
    assert answer.json() == {"code": 0, "data": [{"topic": "nobody", "code": 0}]}


def test_unsubscribe_batch(broker: BrokerProcess, listener: Client) -> None:
    rows = [{"client_id": "listener5", "topic": "in/#"}, {"client_id": "nobody", "topic": "in/#"}]
    results = broker.api("POST", "mqtt/unsubscribe_batch", json=rows).json()
    assert [result["code"] for result in results] == [0, 112]
    assert broker.api("GET", "subscriptions/listener5").json() == []


@pytest.mark.parametrize("body", ["{}", "5", "[", ""])
def test_a_batch_is_an_array(broker: BrokerProcess, body: str) -> None:
    answer = broker.api("POST", "mqtt/publish_batch", data=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, 109)


@pytest.mark.parametrize(
    ("members", "payload"),
    [
        ({"payload": "text"}, b"text"),
        ({"payload": {"a": [1, None]}}, b'{"a":[1,null]}'),
        ({"payload": 5}, b"5"),
        ({"payload": "5", "payload_encoding": "json"}, b'"5"'),
        ({"payload": base64.b64encode(bytes(range(256))).decode(), "payload_encoding": "base64"}, bytes(range(256))),
        ({"payload": "", "payload_encoding": "base64"}, b""),
        ({"payload": base64.encodebytes(bytes(range(256))).decode(), "payload_encoding": "base64"}, bytes(range(256))),
        ({"payload": " aGk\r\n=\n", "payload_encoding": "base64"}, b"hi"),
    ],
)
def test_payloads(broker: BrokerProcess, listener: Client, members: dict[str, Any], payload: bytes) -> None:
    assert broker.api("POST", "mqtt/publish", json={"topic": "in/p"} | members).json() == {"code": 0}
    assert listener.receive().payload == payload


def test_properties_reach_the_subscriber(broker: BrokerProcess, listener: Client) -> None:
    properties = {
        "payload_format_indicator": 1,
        "message_expiry_interval": 60,
        "content_type": "text/plain",
        "response_topic": "answers/here",
        "correlation_data": "42",
        "user_properties": [["k", "1"], ["k", "2"]],
    }
    given = {"topic": "in/props", "payload": "x", "properties": properties}
    assert broker.api("POST", "mqtt/publish", json=given).json() == {"code": 0}
    received = listener.receive().properties
    assert received.PayloadFormatIndicator == 1
    assert received.MessageExpiryInterval <= 60
    assert received.ContentType == "text/plain"
    assert received.ResponseTopic == "answers/here"
    assert received.CorrelationData == b"42"
    assert received.UserProperty == [("k", "1"), ("k", "2")]


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"payload": "***", "payload_encoding": "base64"}, "payload"),
        ({"payload": 5, "payload_encoding": "base64"}, "payload"),
        ({"payload_encoding": "hex"}, "payload_encoding"),
        ({"properties": {"response_topic": "a/#"}}, "properties.response_topic"),
        ({"properties": {"content_type": "a\0b"}}, "properties.content_type"),
        ({"properties": {"user_properties": {"k": "x" * 70000}}}, "properties.user_properties"),
        ({"properties": {"message_expiry_interval": -1}}, "properties.message_expiry_interval"),
        ({"properties": {"no_such": 1}}, "properties"),
    ],
)
def test_a_bad_member_is_named(broker: BrokerProcess, members: dict[str, Any], named: str) -> None:
    answer = broker.api("POST", "mqtt/publish", json={"topic": "in/p"} | members)
    assert (answer.status_code, answer.json()["errorCode"]) == (422, 108)
    assert answer.json()["message"].startswith(f"bad parameter {named}: ")


def test_a_kicked_mqtt_5_client_is_told_why(broker: BrokerProcess) -> None:
    """DISCONNECT 0x98, Administrative action (MQTT 5.0, section 3.14.2.1)."""
    client = Client(broker.mqtt_port, "kicked5", version=paho.MQTTv5)
    reasons: list[int] = []
    client.paho.on_disconnect = lambda _c, _u, _f, reason, _p: reasons.append(reason.value)
    client.paho.reconnect_delay_set(60, 60)
    assert broker.api("DELETE", "connections/kicked5").status_code == 200
    wait_until(lambda: reasons, 10)
    client.close()
    assert reasons[0] == 0x98
