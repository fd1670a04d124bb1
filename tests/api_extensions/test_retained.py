"""Retained messages over REST."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

BINARY = bytes(range(256))
MESSAGES = {
    "r/1": {"payload": "one", "qos": 1, "client_id": "c1"},
    "r/2/deep": {"payload": base64.b64encode(BINARY).decode(), "payload_encoding": "base64"},
    "other": {"payload": "x" * 100, "properties": {"message_expiry_interval": 500, "user_properties": {"k": "v"}}},
}


@pytest.fixture(autouse=True)
def retained(broker: BrokerProcess) -> Iterator[None]:
    broker.api("DELETE", "retained?_match_topic=%23")  # what other tests of the folder left
    for topic, members in MESSAGES.items():
        given = {"topic": topic, "retain": True} | members
        assert broker.api("POST", "mqtt/publish", json=given).json() == {"code": 0}
    yield
    broker.api("DELETE", "retained?_match_topic=%23")


def topics(broker: BrokerProcess, query: str = "") -> set[str]:
    rows = broker.api("GET", f"retained?{query}").json()["items"]
    return {row["topic"] for row in rows if not row["topic"].startswith("$SYS/")}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"r/1", "r/2/deep", "other"}),
        ("_match_topic=r/%23", {"r/1", "r/2/deep"}),
        ("_match_topic=%2B/%2B", {"r/1"}),
        ("topic=other", {"other"}),
        ("_gte_payload_size=100", {"r/2/deep", "other"}),
        ("client_id=c1", {"r/1"}),
        ("_lte_published_at=1000", set()),
    ],
)
def test_listed_and_filtered(broker: BrokerProcess, query: str, expected: set[str]) -> None:
    assert topics(broker, query) == expected


def test_pages(broker: BrokerProcess) -> None:
    count = broker.api("GET", "retained?_limit=1").json()["meta"]["count"]
    paged = [broker.api("GET", f"retained?_limit=1&_page={page}").json()["items"] for page in range(1, count + 2)]
    assert [len(page) for page in paged] == [1] * count + [0]
    assert {page[0]["topic"] for page in paged[:-1]} >= set(MESSAGES)


def test_read(broker: BrokerProcess) -> None:
    [one] = broker.api("GET", "retained/r%2F1").json()
    assert (one["payload"], one["payload_encoding"], one["qos"], one["client_id"]) == ("one", "plain", 1, "c1")
    assert one["expires_in"] == "undefined"
    [two] = broker.api("GET", f"retained/{quote('r/2/deep', safe='')}").json()
    assert (base64.b64decode(two["payload"]), two["payload_encoding"]) == (BINARY, "base64")
    [other] = broker.api("GET", "retained/other").json()
    assert 400 < other["expires_in"] <= 500
    assert other["properties"]["user_property"] == [["k", "v"]]
    assert broker.api("GET", "retained/nothing").json() == []


def test_the_publisher_is_named(broker: BrokerProcess) -> None:
    """Of a client's message, whatever its QoS, as of one that the API publishes in its name."""
    with Client(broker.mqtt_port, "sensor-3") as client:
        for qos in (0, 1, 2):
            client.publish(f"r/by/{qos}", b"x", qos, retain=True)
    rows = broker.api("GET", "retained?_match_topic=r/by/%2B").json()["items"]
    assert sorted((row["topic"], row["client_id"]) for row in rows) == [
        (f"r/by/{qos}", "sensor-3") for qos in (0, 1, 2)]


def test_deleted_one_by_one_and_by_filter(broker: BrokerProcess) -> None:
    assert broker.api("DELETE", "retained/other").json() == {"deleted": 1}
    refused = broker.api("DELETE", "retained/other")
    assert (refused.status_code, refused.json()) == (500, {"message": "not_found"})
    assert broker.api("DELETE", "retained?_match_topic=r/%23").json() == {"deleted": 2}
    assert topics(broker) == set()


def test_what_was_deleted_does_not_come_back(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    for topic in ("kept", "gone/1", "gone/2"):
        broker.api("POST", "mqtt/publish", json={"topic": topic, "payload": "x", "retain": True})
    assert broker.api("DELETE", "retained?_match_topic=gone/%2B").json() == {"deleted": 2}
    broker.kill9()
    broker.start()
    assert topics(broker) == {"kept"}


@pytest.mark.parametrize(
    ("path", "code"), [("retained", 107), ("retained?_match_topic=a/%23/b", 108), ("retained/r%2F%23", 108)]
)
def test_nothing_is_deleted_by_mistake(broker: BrokerProcess, path: str, code: int) -> None:
    answer = broker.api("DELETE", path)
    assert (answer.status_code, answer.json()["errorCode"]) == (422, code)
    assert topics(broker) == set(MESSAGES)
