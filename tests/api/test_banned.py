"""Bans (behaviour, 5.17 and section 10)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

MANDATORY = "missing mandatory params: ['who', 'as']"
KINDS = "value of 'as' must be one of: ['client_id', 'username', 'ip_address']"
ROW = ["as", "by", "desc", "reason", "until", "who"]


@pytest.fixture
def ban(broker: BrokerProcess) -> Iterator[Callable[..., Any]]:
    """`ban(who, kind, ...)`: a ban that is lifted when the test ends."""
    made: list[tuple[str, str]] = []

    def create(who: str, kind: str, **members: Any) -> Any:
        made.append((who, kind))
        return broker.api("POST", "banned/", json={"who": who, "as": kind} | members)

    yield create
    for who, kind in made:
        broker.api("DELETE", f"banned/{who}?as={kind}")
    assert broker.api("GET", "banned").json()["items"] == []


def connack(broker: BrokerProcess, client_id: str, username: str | None = None, version: int = 4) -> int | None:
    """The reason code that a CONNECT is answered with."""
    with Client(broker.mqtt_port, client_id, username, version=version) as client:
        return client.code


def test_the_document_s_example(broker: BrokerProcess, ban: Callable[..., Any]) -> None:
    example = {"reason": "banned the clientId", "desc": "normal banned", "until": int(time.time()) + 100}
    answer = ban("somebody", "client_id", **example)
    assert answer.status_code == 201
    assert list(answer.json().items()) == [("who", "somebody"), ("as", "client_id"), *example.items()]
    page = broker.api("GET", "banned/?_page=1&_limit=10000").json()
    assert page["meta"] == {"page": 1, "limit": 10000, "count": 1}
    assert list(page["items"][0]) == ROW
    assert page["items"][0] == {"as": "client_id", "by": "undefined", "who": "somebody"} | example


def test_echo_has_what_was_sent(broker: BrokerProcess, ban: Callable[..., Any]) -> None:
    sent = {"big": 10**30, "nested": {"a": [None, True]}, "reason": None}
    answer = ban("x", "username", **sent)
    assert answer.json() == {"who": "x", "as": "username"} | sent
    envelope = broker.api("POST", "banned?as=username&_style=envelope", json={"who": "x"})
    assert (envelope.status_code, envelope.json()) == (
        200,
        {"code": 0, "data": {"as": "username", "who": "x"}},
    )


def test_same_name_is_replaced(broker: BrokerProcess, ban: Callable[..., Any]) -> None:
    ban("x", "client_id", reason="one")
    ban("x", "client_id", reason="two")
    ban("x", "username", reason="three")
    rows = broker.api("GET", "banned").json()["items"]
    assert [(row["as"], row["reason"]) for row in rows] == [("client_id", "two"), ("username", "three")]


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("client_id", "evil"),
        ("username", "mallory"),
        ("ip_address", "127.0.0.1"),
        ("ip_address", "::ffff:127.0.0.1"),
    ],
)
def test_banned_are_refused_at_connect(broker: BrokerProcess, ban: Callable[..., Any], kind: str, who: str) -> None:
    """CONNACK code 5 for MQTT 3.1.1, 0x8A for MQTT 5."""
    assert connack(broker, "evil", "mallory") == 0
    ban(who, kind, until=int(time.time()) + 100)
    # paho maps the 3.1.1 code 5 to the MQTT 5 reason 0x87.
    assert connack(broker, "evil", "mallory") == 0x87
    assert connack(broker, "evil", "mallory", version=5) == 0x8A
    if kind != "ip_address":
        assert connack(broker, "good", "alice") == 0
    assert broker.api("DELETE", f"banned/{who}?as={kind}").text == '"ok"'
    assert connack(broker, "evil", "mallory") == 0


def test_an_expired_ban_bans_nobody(broker: BrokerProcess, ban: Callable[..., Any]) -> None:
    for until in (1536146187, int(time.time()) - 1):
        assert ban("late", "client_id", until=until).status_code == 201
        assert connack(broker, "late") == 0


def test_only_the_zone_that_says_so_asks(broker: BrokerProcess, ban: Callable[..., Any]) -> None:
    """The internal zone has no bans."""
    ban("127.0.0.1", "ip_address")
    with Client(broker.internal_port, "inside") as client:
        assert client.code == 0


@pytest.mark.parametrize("who", ["a b", "a/b", "%", "中", "fe80::1", "FE80:0:0::1"])
def test_odd_names(broker: BrokerProcess, ban: Callable[..., Any], who: str) -> None:
    from urllib.parse import quote

    kind = "ip_address" if "80:" in who else "client_id"
    answer = broker.api("POST", "banned", json={"who": who, "as": kind})
    assert answer.json()["who"] == who
    assert broker.api("GET", "banned").json()["meta"]["count"] == 1
    assert broker.api("DELETE", f"banned/{quote(who, safe='')}?as={kind}").text == '"ok"'
    assert broker.api("GET", "banned").json()["meta"]["count"] == 0


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, 107, MANDATORY),
        ({"who": "x"}, 107, MANDATORY),
        ({"as": "client_id"}, 107, MANDATORY),
        ({"who": "x", "as": "ip"}, 108, KINDS),
        ({"who": "x", "as": 5}, 108, KINDS),
        ({"who": "x", "as": ["client_id"]}, 108, KINDS),
        ({"who": 5, "as": "client_id"}, 108, "who"),
        ({"who": "", "as": "client_id"}, 108, "who"),
        ({"who": "10.0.0.0/8", "as": "ip_address"}, 108, "who"),
        ({"who": "x", "as": "client_id", "until": "tomorrow"}, 108, "until"),
        ({"who": "x", "as": "client_id", "until": -1}, 108, "until"),
        ({"who": "x", "as": "client_id", "reason": {}}, 108, "reason"),
    ],
)
def test_refusals(broker: BrokerProcess, body: dict[str, Any], code: int, message: str) -> None:
    answer = broker.api("POST", "banned", json=body)
    assert answer.status_code == 422
    assert answer.json()["errorCode"] == code
    assert message in answer.json()["message"]
    envelope = broker.api("POST", "banned?_style=envelope", json=body)
    assert (envelope.status_code, envelope.json()["code"]) == (200, code)
    assert broker.api("GET", "banned").json()["items"] == []


def test_deleting(broker: BrokerProcess) -> None:
    assert broker.api("DELETE", "banned/nobody?as=client_id").text == '"ok"'
    assert broker.api("DELETE", "banned/nobody?as=ip_address").text == '"ok"'
    assert broker.api("DELETE", "banned/nobody", data=b'{"as": "username"}').text == '"ok"'
    answer = broker.api("DELETE", "banned/nobody")
    assert (answer.status_code, answer.json()) == (
        422,
        {"message": "missing mandatory params: ['as']", "errorCode": 107},
    )
    assert broker.api("DELETE", "banned/nobody?as=x").json() == {"message": KINDS, "errorCode": 108}


def test_bans_survive_kill_9(start_broker: Any) -> None:
    broker = start_broker()
    broker.api("POST", "banned", json={"who": "evil", "as": "client_id", "by": "me", "until": None})
    rows = broker.api("GET", "banned").json()["items"]
    broker.kill9()
    broker.start()
    assert broker.api("GET", "banned").json()["items"] == rows
    assert connack(broker, "evil") == 0x87
