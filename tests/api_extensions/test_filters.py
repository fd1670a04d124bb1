"""Filters of the lists, and look-up and kick by user name (behaviour, sections 4 and 23)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

SUBSCRIPTIONS = {"f1": ["a/b", "a/+"], "f2": ["a/#", "$share/g/a/b"], "g3": ["x/y"]}
USERS = {"f1": "joe", "f2": "joe", "g3": "ann"}


@pytest.fixture(scope="module")
def clients(broker: BrokerProcess) -> Iterator[dict[str, Client]]:
    with ExitStack() as stack:
        opened = {}
        for client_id, user in USERS.items():
            client = Client(broker.mqtt_port, client_id, username=user, keepalive=40 + len(opened))
            stack.callback(client.close)
            for topic in SUBSCRIPTIONS[client_id]:
                client.subscribe(topic, 1)
            opened[client_id] = client
        yield opened


def ids(broker: BrokerProcess, query: str, key: str = "client_id") -> list[str]:
    answer = broker.api("GET", query)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert page["meta"]["count"] >= len(page["items"])
    return [row[key] for row in page["items"]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("username=joe", ["f1", "f2"]),
        ("client_id=g3", ["g3"]),
        ("clientid=g3", ["g3"]),
        ("client_id=f1&client_id=g3", ["f1", "g3"]),
        ("_like_client_id=f", ["f1", "f2"]),
        ("_like_username=jo&client_id=f2", ["f2"]),
        ("proto_ver=4", ["f1", "f2", "g3"]),
        ("proto_ver=5", []),
        ("clean_start=true", ["f1", "f2", "g3"]),
        ("_gte_keepalive=41", ["f2", "g3"]),
        ("_gte_keepalive=41&_lte_keepalive=41", ["f2"]),
        ("ip_address=127.0.0.1", ["f1", "f2", "g3"]),
        ("zone=internal", []),
        ("_gte_connected_at=2001-01-01%2000:00:00", ["f1", "f2", "g3"]),
        ("_gte_connected_at=978307200", ["f1", "f2", "g3"]),
        ("_lte_connected_at=2001-01-01%2000:00:00", []),
        ("no_such_filter=1&_like_nothing=x", ["f1", "f2", "g3"]),
    ],
)
@pytest.mark.parametrize("form", ["", "nodes/emqx@127.0.0.1/"])
def test_connections(
    broker: BrokerProcess, clients: dict[str, Client], form: str, filters: str, expected: list[str]
) -> None:
    assert ids(broker, f"{form}connections?{filters}") == expected


def test_the_count_is_of_what_passes_and_the_order_is_stable(
    broker: BrokerProcess, clients: dict[str, Client]
) -> None:
    pages = [broker.api("GET", f"sessions?username=joe&_limit=1&_page={page}").json() for page in (1, 2, 3)]
    assert [page["meta"] for page in pages] == [{"page": page, "limit": 1, "count": 2} for page in (1, 2, 3)]
    assert [[row["client_id"] for row in page["items"]] for page in pages] == [["f1"], ["f2"], []]


def test_sessions(broker: BrokerProcess, clients: dict[str, Client]) -> None:
    assert ids(broker, "sessions?_gte_subscriptions_count=2") == ["f1", "f2"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ("_match_topic=a/b", ["a/b", "a/+", "a/#", "a/b"]),
        ("_match_topic=a", ["a/#"]),
        ("_match_topic=x/%23", ["x/y"]),
        ("topic=a/b", ["a/b", "a/b"]),
        ("qos=0", []),
        ("client_id=f2", ["a/#", "a/b"]),
        ("_like_topic=y", ["x/y"]),
    ],
)
def test_subscriptions(broker: BrokerProcess, clients: dict[str, Client], filters: str, expected: list[str]) -> None:
    assert sorted(ids(broker, f"subscriptions?{filters}", "topic")) == sorted(expected)


def test_routes(broker: BrokerProcess, clients: dict[str, Client]) -> None:
    assert sorted(ids(broker, "routes?_match_topic=a/b", "topic")) == ["a/#", "a/+", "a/b", "a/b"]


def test_bans(broker: BrokerProcess) -> None:
    for who, until in (("one", 4_000_000_000), ("two", 4_100_000_000), ("three", None)):
        given = {"who": who, "as": "username", "reason": f"it is {who}"} | ({"until": until} if until else {})
        assert broker.api("POST", "banned", json=given).status_code == 201
    try:
        assert ids(broker, "banned?_gte_until=4050000000", "who") == ["two"]
        assert ids(broker, "banned?as=username&_like_reason=is%20t", "who") == ["two", "three"]
        assert ids(broker, "banned?until=undefined", "who") == ["three"]
        assert ids(broker, "banned?as=client_id", "who") == []
    finally:
        for who in ("one", "two", "three"):
            broker.api("DELETE", f"banned/{who}?as=username")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("connections?proto_ver=five", "proto_ver"),
        ("connections?clean_start=perhaps", "clean_start"),
        ("connections?_gte_connected_at=yesterday", "_gte_connected_at"),
        ("connections?_gte_username=a", "_gte_username"),
        ("connections?_like_port=1", "_like_port"),
        ("routes?_match_topic=a/%23/b", "_match_topic"),
    ],
)
def test_a_filter_that_cannot_match_is_named(broker: BrokerProcess, query: str, parameter: str) -> None:
    answer = broker.api("GET", query)
    assert answer.status_code == 422
    assert answer.json()["errorCode"] == 108
    assert answer.json()["message"].startswith(f"bad parameter {parameter}: ")


@pytest.mark.parametrize("form", ["", "nodes/emqx@127.0.0.1/"])
def test_lookup_by_user_name(broker: BrokerProcess, clients: dict[str, Client], form: str) -> None:
    rows: list[dict[str, Any]] = broker.api("GET", f"{form}connection/username/joe").json()
    assert [row["client_id"] for row in rows] == ["f1", "f2"]
    assert broker.api("GET", f"{form}connection/username/nobody").json() == []


def online(broker: BrokerProcess, user: str) -> int:
    return len(broker.api("GET", f"connection/username/{user}").json())


def test_kick_by_user_name_and_by_many_ids(broker: BrokerProcess) -> None:
    opened = [Client(broker.mqtt_port, f"k{number}", username="kicked") for number in range(3)]
    for client in opened:
        client.paho.reconnect_delay_set(60, 60)
    answer = broker.api("POST", "connections/kickout_batch", json={"client_ids": ["k0", "nobody"]})
    assert answer.json() == [{"client_id": "k0", "code": 0}, {"client_id": "nobody", "code": 112}]
    wait_until(lambda: online(broker, "kicked") == 2, 10)
    assert broker.api("DELETE", "connection/username/kicked").json() == {"kicked": 2}
    wait_until(lambda: online(broker, "kicked") == 0, 10)
    refused = broker.api("DELETE", "connection/username/kicked")
    assert (refused.status_code, refused.json()) == (500, {"message": "not_found"})
    for client in opened:
        client.close()
