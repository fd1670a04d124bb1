"""Metrics, stats and listeners: exact names, and numbers that move (behaviour, sections 7, 8 and 14)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.calls import NODE, publish
from tests.api.reference import LISTENER, METRICS, STATS, assert_shape
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.clients.raw import DISCONNECT, Raw

DOTTED = {
    "packets/connect": "packets.connect.received",
    "packets/suback": "packets.suback.sent",
    "packets/pingresp": "packets.pingresp.sent",
    "packets/publish/received": "packets.publish.received",
    "messages/qos2/dropped": "messages.qos2.dropped",
    "bytes/received": "bytes.received",
}
# What v3.2 has beyond the document.
LATER = (
    "packets.connack.error",
    "packets.connack.auth_error",
    "packets.publish.error",
    "packets.publish.auth_error",
    "packets.subscribe.error",
    "packets.subscribe.auth_error",
    "packets.unsubscribe.error",
    "packets.auth.sent",
    "auth.mqtt.anonymous",
)


def metrics(broker: BrokerProcess) -> dict[str, int]:
    return dict(broker.api("GET", f"nodes/{NODE}/metrics/").json())


def stats(broker: BrokerProcess) -> dict[str, int]:
    return dict(broker.api("GET", f"nodes/{NODE}/stats/").json())


def test_metrics_have_the_document_s_names(broker: BrokerProcess) -> None:
    values = metrics(broker)
    assert set(values) == METRICS
    assert all(type(value) is int for value in values.values())
    [listed] = broker.api("GET", "metrics").json()
    assert list(listed) == ["node", "metrics"]
    assert set(listed["metrics"]) == METRICS
    assert list(listed["metrics"]) == list(values)


def test_stats_are_flat_and_have_the_document_s_names(broker: BrokerProcess) -> None:
    assert set(stats(broker)) == STATS
    [listed] = broker.api("GET", "stats").json()
    assert listed.pop("node") == NODE
    assert set(listed) == STATS


def test_names_with_dots(broker: BrokerProcess) -> None:
    slashes = metrics(broker)
    dots = broker.api("GET", f"nodes/{NODE}/metrics?_names=dots").json()
    assert len(dots) == len(slashes) + len(LATER)
    assert set(LATER) <= set(dots)
    assert not [name for name in dots if "/" in name]
    for slash, dot in DOTTED.items():
        assert dots[dot] == slashes[slash]
    header = broker.api("GET", f"nodes/{NODE}/stats", headers={"X-API-Style": "envelope, dots"}).json()
    assert header["code"] == 0
    assert set(header["data"]) == {name.replace("/", ".") for name in STATS} | {"suboptions.count", "suboptions.max"}


def test_counters_move(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    before = metrics(broker)
    client = connect("n1")
    client.subscribe("n", 1)
    client.paho.publish("n", "12345", 1).wait_for_publish(5)
    wait_until(lambda: client.received)
    client.paho.publish("nobody/there", "x", 0)
    expected = {
        "packets/connect": 1,
        "packets/connack": 1,
        "packets/subscribe": 1,
        "packets/suback": 1,
        "packets/publish/received": 2,
        "packets/publish/sent": 1,
        "packets/puback/sent": 1,
        "packets/puback/received": 1,
        "messages/received": 2,
        "messages/sent": 1,
        "messages/qos0/received": 1,
        "messages/qos1/received": 1,
        "messages/qos1/sent": 1,
        "messages/dropped": 1,
        "packets/received": 5,
        "packets/sent": 4,
        "packets/disconnect/received": 0,
    }

    def moved() -> bool:
        now = metrics(broker)
        return {name: now[name] - before[name] for name in expected} == expected

    wait_until(moved, what="the counters")
    now = metrics(broker)
    assert now["bytes/received"] - before["bytes/received"] > 30
    assert now["bytes/sent"] - before["bytes/sent"] > 20


def test_rest_publishes_move_only_what_is_dropped(broker: BrokerProcess) -> None:
    before = metrics(broker)
    publish(broker, topic="nobody/there")
    after = metrics(broker)
    assert {name for name in after if after[name] != before[name]} == {"messages/dropped"}


def test_stats_follow_and_remember_the_highest(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    clients = [connect(f"h{number}") for number in range(3)]
    for client in clients:
        client.subscribe("h/common")
    clients[0].subscribe("$share/g/h/common")
    now = stats(broker)
    expected = {
        "connections/count": 3,
        "sessions/count": 3,
        "sessions/persistent/count": 0,
        "topics/count": 2,
        "routes/count": 2,
        "subscribers/count": 3,
        "subscriptions/count": 4,
        "subscriptions/shared/count": 1,
    }
    assert {name: now[name] for name in expected} == expected
    for client in clients:
        client.close()
    wait_until(lambda: stats(broker)["connections/count"] == 0)
    now = stats(broker)
    assert now["subscriptions/count"] == 0
    assert now["connections/max"] >= 3
    assert now["subscriptions/max"] >= 4


def test_listeners(broker: BrokerProcess, connect: Callable[..., Client]) -> None:
    connect("l1")
    [listed] = broker.api("GET", "listeners").json()
    assert list(listed) == ["listeners", "node"]
    rows = broker.api("GET", f"nodes/{NODE}/listeners").json()
    for row in rows:
        assert_shape(row, LISTENER)
    assert [row["protocol"] for row in rows] == ["mqtt:tcp", "mqtt:tcp", "http:dashboard", "http:management"]
    by_port = {int(row["listen_on"].rpartition(":")[2]): row for row in rows}
    external = by_port[broker.mqtt_port]
    assert (external["current_conns"], external["acceptors"], external["max_conns"]) == (1, 8, 1024000)
    assert by_port[broker.internal_port]["max_conns"] == 10240000
    management = by_port[broker.api_port]
    assert management["shutdown_count"] == []
    assert management["current_conns"] >= 1


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\x00"])
def test_shutdown_reasons_are_counted(broker: BrokerProcess, data: bytes) -> None:
    import socket

    def counted() -> int:
        rows = broker.api("GET", f"nodes/{NODE}/listeners").json()
        row = next(row for row in rows if row["listen_on"].endswith(f":{broker.mqtt_port}"))
        return sum(dict(row["shutdown_count"]).values())

    before = counted()
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 5) as peer:
        peer.sendall(data)
        assert peer.recv(100) == b""
    wait_until(lambda: counted() == before + 1)


def test_refusals_as_v32_counts_them(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    """`error` for whatever is refused, `auth_error` for want of rights; CONNECT without credentials is counted too."""
    rules = tmp_path / "acl.conf"
    rules.write_text('{deny, all, pubsub, ["secret"]}.\n{allow, all}.\n')
    broker = start_broker(env={"EMQX_ACL_FILE": str(rules), "EMQX_MQTT__MAX_QOS_ALLOWED": "1"})

    def client() -> Raw:
        return Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)))

    def moved() -> set[str]:
        """Those that went up by one since the last time."""
        before = dict(seen)
        seen.update({name: broker.api("GET", f"nodes/{NODE}/metrics/?_names=dots").json()[name] for name in LATER})
        return {name for name in LATER if seen[name] == before[name] + 1}

    seen = dict.fromkeys(LATER, 0)
    assert moved() == set()
    one = client().connect("c")
    assert moved() == {"auth.mqtt.anonymous"}
    client().connect("d", code=0x9B, will=("w", b"", 2, False))
    assert moved() == {"packets.connack.error"}
    assert one.subscribe("a", "secret") == [0, 0x87]
    assert moved() == {"packets.subscribe.error", "packets.subscribe.auth_error"}
    assert one.unsubscribe("never") == [0x11]
    assert moved() == {"packets.unsubscribe.error"}
    one.publish("secret", b"x", 1)
    assert moved() == {"packets.publish.error", "packets.publish.auth_error"}
    one.send(one.publish_packet("a", b"x", 2, pid=9))
    one.expect(DISCONNECT, code=0x9B)
    assert moved() == {"packets.publish.error"}
    client().connect("e", code=0x8C, auth_method="none such")
    assert moved() == {"packets.connack.error"}
    broker.api("PUT", "configs/emqx", json={"key": "mqtt.allow_anonymous", "value": "false"})
    client().connect("f", code=0x87)
    assert moved() == {"packets.connack.error", "packets.connack.auth_error"}
