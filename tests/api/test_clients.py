"""Connections, sessions, subscriptions, routes and messages of real clients (behaviour, 5.4 to 5.9 and 6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.api.calls import NODE, count, publish
from tests.api.reference import CONNECTION, ROUTE, SESSION, SUBSCRIPTION, UNDEFINED, assert_shape
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

ODD_IDS = ["a b", "a/b", "7yz|securemode=3,x=1", "%", "%2F", "中", "+", "x?y=1&z", '"', "\\"]
ODD_TOPICS = ["/test", "a//b", "+/x", "a/#", "中/文", "a b", "%2F", "/", "x?y"]


def segment(text: str) -> str:
    return quote(text, safe="")


def only(rows: list[Any]) -> Any:
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("form", ["", f"nodes/{NODE}/"])
def test_connection_rows(broker: BrokerProcess, connect: Callable[..., Client], form: str) -> None:
    connect("c1", username="joe", will="last/words", keepalive=77)
    page = broker.api("GET", f"{form}connections/").json()
    assert list(page) == ["items", "meta"]
    assert page["meta"] == {"page": 1, "limit": 10000, "count": 1}
    row = only(page["items"])
    assert_shape(row, CONNECTION)
    assert row == only(broker.api("GET", f"{form}connections/c1").json())
    expected = {
        "clean_start": True,
        "client_id": "c1",
        "ipaddress": "127.0.0.1",
        "is_bridge": False,
        "is_super": False,
        "keepalive": 77,
        "mountpoint": UNDEFINED,
        "node": NODE,
        "peercert": "nossl",
        "proto_name": "MQTT",
        "proto_ver": 4,
        "username": "joe",
        "will_topic": "last/words",
        "zone": "external",
    }
    assert {key: row[key] for key in expected} == expected
    connected_at = time.mktime(time.strptime(row["connected_at"], "%Y-%m-%d %H:%M:%S"))
    assert abs(connected_at - time.time()) < 10


def test_a_client_without_names_is_undefined(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    connect("")
    row = only(broker.api("GET", "connections").json()["items"])
    assert (row["username"], row["will_topic"]) == (UNDEFINED, UNDEFINED)
    assert row["client_id"]
    session = only(broker.api("GET", f"sessions/{segment(row['client_id'])}").json())
    assert session["username"] == UNDEFINED
    assert (session["clean_start"], session["expiry_interval"]) == (True, 7200)  # as the reference shows it


@pytest.mark.parametrize("form", ["", f"nodes/{NODE}/"])
def test_session_rows(broker: BrokerProcess, connect: Callable[..., Client], form: str) -> None:
    client = connect("s1", clean=False)
    client.subscribe("a/b", 1)
    page = broker.api("GET", f"{form}sessions").json()
    row = only(page["items"])
    assert_shape(row, SESSION)
    expected = {
        "binding": "local",
        "clean_start": False,
        "client_id": "s1",
        "expiry_interval": 7200,
        "max_awaiting_rel": 100,
        "max_inflight": 32,
        "max_mqueue": 1000,
        "max_subscriptions": 0,
        "node": NODE,
        "subscriptions_count": 1,
    }
    assert {key: row[key] for key in expected} == expected
    assert row["heap_size"] > 0
    assert row["reductions"] > 0

    client.close()
    wait_until(lambda: count(broker, "connections") == 0)
    assert broker.api("GET", f"{form}connections/s1").json() == []
    offline = only(broker.api("GET", f"{form}sessions/s1").json())
    for _ in range(3):
        broker.api("POST", "mqtt/publish", json={"topic": "a/b", "qos": 1, "payload": "x"})
    queued = only(broker.api("GET", f"{form}sessions/s1").json())
    assert (queued["mqueue_len"], queued["enqueue_msg"]) == (3, offline["enqueue_msg"] + 3)
    assert queued["heap_size"] > offline["heap_size"]
    assert queued["reductions"] > offline["reductions"]
    assert only(broker.api("GET", f"{form}subscriptions/s1").json())["topic"] == "a/b"
    connect("s1")  # a clean session ends the old one


@pytest.mark.parametrize("client_id", ODD_IDS)
def test_odd_client_ids(broker: BrokerProcess, connect: Callable[..., Client], client_id: str) -> None:
    client = connect(client_id)
    client.subscribe("odd/#")
    path = segment(client_id)
    for kind in ("connections", "sessions", "subscriptions"):
        for form in ("", f"nodes/{NODE}/"):
            answer = broker.api("GET", f"{form}{kind}/{path}")
            assert only(answer.json())["client_id"] == client_id
    for action in ("subscribe", "unsubscribe"):
        body = {"topic": "more", "client_id": client_id}
        assert broker.api("POST", f"mqtt/{action}", json=body).json() == {"code": 0}
    assert broker.api("DELETE", f"connections/{path}").text == '"ok"'
    wait_until(lambda: broker.api("GET", f"connections/{path}").json() == [])


def test_the_longest_client_id_and_topic(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    """Each byte of both may have to be escaped [MQTT-1.5.4]; what is longer than that is told so, HTTP 414."""
    longest = "%" * 65535
    connect(longest)
    answer = broker.api("GET", f"connections/{segment(longest)}")
    assert only(answer.json())["client_id"] == longest
    assert broker.api("DELETE", f"connections/{segment(longest)}/acl/{segment(longest)}").text == '"ok"'
    assert broker.api("GET", f"connections/{'x' * 400_000}").status_code == 414


@pytest.mark.parametrize("topic", ODD_TOPICS)
def test_odd_topics(broker: BrokerProcess, connect: Callable[..., Client], topic: str) -> None:
    connect("t1").subscribe(topic, 2)
    row = only(broker.api("GET", "subscriptions/t1").json())
    assert_shape(row, SUBSCRIPTION)
    assert row == {"client_id": "t1", "node": NODE, "qos": 2, "topic": topic}
    assert broker.api("GET", f"routes/{segment(topic)}").json() == [{"node": NODE, "topic": topic}]
    page = broker.api("GET", "routes").json()
    assert_shape(only(page["items"]), ROUTE)
    assert page["meta"]["count"] == 1


def test_routes_are_looked_up_by_their_text(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    connect("r1").subscribe("a/+")
    assert broker.api("GET", "routes/a%2Fb").json() == []
    assert broker.api("GET", "routes/a/+").status_code == 404
    only(broker.api("GET", "routes/a%2F+").json())


def test_doubled_slash_asks_for_the_topic_without(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    """The document's own example, `GET api/v3/routes//test`."""
    connect("r2").subscribe("/test")
    assert broker.api("GET", "routes//test").json() == []
    only(broker.api("GET", "routes/%2Ftest").json())


def test_shared_subscriptions_are_shown_without_their_group(
    broker: BrokerProcess, connect: Callable[..., Client]
) -> None:
    client = connect("g1")
    client.subscribe("$share/g/t")
    client.subscribe("$queue/t")
    client.subscribe("t")
    assert [row["topic"] for row in broker.api("GET", "subscriptions/g1").json()] == ["t"] * 3
    assert broker.api("GET", "routes/t").json() == [{"node": NODE, "topic": "t"}] * 3


def test_paging(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    for number in range(5):
        client = connect(f"p{number}")
        client.subscribe(f"p/{number}")
        client.subscribe("p/+")
    for kind, total in (("connections", 5), ("sessions", 5), ("subscriptions", 10), ("routes", 6)):
        seen = []
        for page in range(1, 5):
            answer = broker.api("GET", f"{kind}?_page={page}&_limit=3").json()
            assert answer["meta"] == {"page": page, "limit": 3, "count": total}
            seen += answer["items"]
        assert len(seen) == total
        assert len({tuple(row.values()) for row in seen}) == total
        assert broker.api("GET", f"{kind}?_page=99&_limit=3").json()["items"] == []
        for page in (0, -7):
            first = broker.api("GET", f"{kind}?_page={page}&_limit=3").json()
            assert first["meta"]["page"] == page
            assert first["items"] == seen[:3]
        assert broker.api("GET", f"{kind}?_limit=1000000000").json()["meta"]["limit"] == 1000000000
        body = broker.api("GET", kind, data=b'{"_limit": 2, "_page": 1}').json()
        assert body["items"] == seen[:2]
        over = broker.api("GET", f"{kind}?_limit=1", data=b'{"_limit": 2}').json()
        assert over["items"] == seen[:1]


def test_kick(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    watcher, victim = connect("watcher"), connect("victim", will="victim/will")
    watcher.subscribe("victim/will")
    before = kicked(broker)
    victim.paho.on_disconnect = lambda *_: victim.paho.loop_stop()
    assert broker.api("DELETE", "connections/victim").text == '"ok"'
    wait_until(lambda: watcher.received, what="the will")
    assert watcher.received == [("victim/will", b"gone", 0, False)]
    assert kicked(broker) == before + 1
    victim.close()


def kicked(broker: BrokerProcess) -> int:
    rows = broker.api("GET", f"nodes/{NODE}/listeners").json()
    counts = next(row["shutdown_count"] for row in rows if row["listen_on"].endswith(f":{broker.mqtt_port}"))
    return int(dict(counts).get("kicked", 0))


def test_unknown_clients(broker: BrokerProcess) -> None:
    for kind in ("connections", "sessions", "subscriptions"):
        for form in ("", f"nodes/{NODE}/"):
            assert broker.api("GET", f"{form}{kind}/nobody").json() == []
    answer = broker.api("DELETE", "connections/nobody")
    assert (answer.status_code, answer.json()) == (500, {"message": "not_found"})
    answer = broker.api("DELETE", "connections/nobody?_style=envelope")
    assert (answer.status_code, answer.json()) == (200, {"code": 112, "message": "not_found"})


# -- messages ------------------------------------------------------------------------------------------


def test_publish(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    client = connect("m1")
    client.subscribe("m/#", 2)
    assert publish(broker, topic="m/1", payload="hello", qos=1, client_id="nobody") == {"code": 0}
    assert publish(broker, topic="m/2,m/3", payload="both") == {"code": 0}
    assert publish(broker, topics="m/4", payload="") == {"code": 0}
    assert publish(broker, topic="m/5", payload={"a": [1, None]}) == {"code": 0}
    assert publish(broker, topic="m/6,m/+,m/#", payload="中", qos=2) == {"code": 0}
    assert publish(broker, topic="nobody/listens") == {"code": 0}
    wait_until(lambda: len(client.received) == 6)
    assert sorted(client.received) == [
        ("m/1", b"hello", 1, False),
        ("m/2", b"both", 0, False),
        ("m/3", b"both", 0, False),
        ("m/4", b"", 0, False),
        ("m/5", b'{"a":[1,null]}', 0, False),
        ("m/6", "中".encode(), 2, False),
    ]


def test_publish_by_query(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    client = connect("m2")
    client.subscribe("q/+", 1)
    answer = broker.api("POST", "mqtt/publish?topic=q/query&qos=1", data=b'{"topic": "q/body", "payload": "x"}')
    assert answer.json() == {"code": 0}
    wait_until(lambda: client.received)
    assert client.received == [("q/query", b"x", 1, False)]


@pytest.mark.parametrize("topic", ["a/+", "#", ",", "", "x" * 65536, "a\0b"])
def test_bad_topics(broker: BrokerProcess, topic: str) -> None:
    assert publish(broker, topic=topic) == {"code": 115}
    answer = broker.api("POST", "mqtt/publish?_style=envelope", json={"topic": topic})
    assert answer.json() == {"code": 115, "message": "bad_topic"}


def test_retained_publish_reaches_a_rest_subscription(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    assert publish(broker, topic="kept", payload="k", retain=True) == {"code": 0}
    client = connect("m3")
    body = {"topic": "kept,other", "qos": 1, "client_id": "m3"}
    assert broker.api("POST", "mqtt/subscribe", json=body).json() == {"code": 0}
    wait_until(lambda: client.received)
    assert client.received == [("kept", b"k", 0, True)]
    assert {row["topic"] for row in broker.api("GET", "subscriptions/m3").json()} == {"kept", "other"}

    for _ in range(2):
        body = {"topic": "other", "client_id": "m3", "payload": "hello", "qos": 1, "retain": False}
        assert broker.api("POST", "mqtt/unsubscribe", json=body).json() == {"code": 0}
    assert only(broker.api("GET", "subscriptions/m3").json())["topic"] == "kept"
    publish(broker, topic="kept", payload="", retain=True)


def test_rest_subscriptions_of_a_session_that_is_offline(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    connect("m4", clean=False).close()
    wait_until(lambda: count(broker, "connections") == 0)
    body = {"topic": "$share/g/late", "qos": 1, "client_id": "m4"}
    assert broker.api("POST", "mqtt/subscribe", json=body).json() == {"code": 0}
    publish(broker, topic="late", payload="1", qos=1)
    client = connect("m4", clean=False)
    wait_until(lambda: client.received)
    assert client.received == [("late", b"1", 1, False)]
    client.close()
    connect("m4")


@pytest.mark.parametrize("action", ["subscribe", "unsubscribe"])
def test_no_session(broker: BrokerProcess, action: str) -> None:
    body = {"topic": "test_topic", "qos": 1, "client_id": "mqttjs_ab9069449e"}
    assert broker.api("POST", f"mqtt/{action}", json=body).json() == {"code": 112}
    answer = broker.api("POST", f"mqtt/{action}?_style=envelope", json=body)
    assert answer.json() == {"code": 112, "message": "session_not_found"}


@pytest.mark.parametrize("topic", ["a/#/b", "a+b", "#x", "$share/g", "$share//t", "$share/g+/t"])
def test_bad_filters(broker: BrokerProcess, connect: Callable[..., Client], topic: str) -> None:
    connect("m5")
    for action in ("subscribe", "unsubscribe"):
        body = {"topic": topic, "client_id": "m5"}
        assert broker.api("POST", f"mqtt/{action}", json=body).json() == {"code": 115}
    assert broker.api("GET", "subscriptions/m5").json() == []
