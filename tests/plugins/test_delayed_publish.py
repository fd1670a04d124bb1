"""emqx_delayed_publish (behaviour, 22.12): `$delayed/<seconds>/<topic>`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load, unload


@pytest.fixture
def client(broker: BrokerProcess) -> Iterator[Client]:
    with Client(broker.mqtt_port, version=paho.MQTTv5) as client:
        yield client


def test_published_in_time_with_everything_it_had(client: Client):
    client.subscribe("t/#", 2)
    properties = paho.Properties(paho.PacketTypes.PUBLISH)
    properties.UserProperty = ("a", "b")
    properties.MessageExpiryInterval = 100
    began = time.monotonic()
    assert client.publish("$delayed/1/t/x", b"later", qos=1, properties=properties).value == 0x10
    message = client.receive()
    assert 0.9 < time.monotonic() - began < 3
    assert (message.topic, message.payload, message.qos) == ("t/x", b"later", 1)
    assert message.properties.UserProperty == [("a", "b")]
    assert message.properties.MessageExpiryInterval in (99, 100)


def test_order_of_times_not_of_publishing(client: Client):
    client.subscribe("t/#")
    for delay in (2, 1, 0):
        client.publish(f"$delayed/{delay}/t", str(delay).encode())
    assert [client.receive().payload for _ in range(3)] == [b"0", b"1", b"2"]


def test_absolute_times(client: Client):
    client.subscribe("t/#")
    client.publish(f"$delayed/{int(time.time()) - 1000}/t", b"past")
    assert client.receive().payload == b"past"
    soon = int(time.time()) + 2
    client.publish(f"$delayed/{soon}/t", b"soon")
    assert client.receive().payload == b"soon"
    assert time.time() >= soon - 0.1


def test_retained_when_it_is_published_not_before(client: Client):
    client.publish("$delayed/1/kept", b"1", retain=True)
    client.subscribe("kept")
    client.subscribe("$delayed/#")
    message = client.receive()
    assert (message.topic, message.payload) == ("kept", b"1")
    assert client.silent()
    client.publish("kept", b"", retain=True)


def test_expired_while_it_waited(client: Client):
    client.subscribe("t/#")
    properties = paho.Properties(paho.PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 1
    client.publish("$delayed/2/t", b"too late", properties=properties)
    client.publish("$delayed/2/t", b"in time")
    assert client.receive().payload == b"in time"


MALFORMED = ["$delayed/x/t", "$delayed/1", "$delayed/", "$delayed/-1/t", "$delayed/1/", "$delayed/99999999999/t",
             "$delayed/1.5/t", "$delayed/0/$delayed/0/t"]


@pytest.mark.parametrize("topic", MALFORMED)
def test_malformed_ones_are_refused_and_cost_nobody(broker: BrokerProcess, client: Client, topic: str):
    client.subscribe("#")
    client.subscribe("$delayed/#")
    assert client.publish(topic, b"1").value == 0x90
    client.publish("t", b"alive")
    assert client.receive().payload == b"alive"
    assert f"published to '{topic}', which goes nowhere" in broker.stderr


@pytest.mark.parametrize("topic", MALFORMED)
def test_malformed_ones_over_rest_are_told_why(broker: BrokerProcess, topic: str):
    answer = broker.api("POST", "mqtt/publish", json={"topic": topic, "payload": "1"})
    assert answer.status_code == 200
    assert answer.json()["code"] == 115
    assert answer.json()["message"].startswith(f"{topic}: ")
    rows = broker.api("POST", "mqtt/publish_batch", json=[{"topic": topic}, {"topic": "t"}]).json()
    assert [row["code"] for row in rows] == [115, 0]
    assert rows[0]["message"].startswith(f"{topic}: ")
    enveloped = broker.api("POST", "mqtt/publish", json={"topic": topic}, headers={"X-API-Style": "envelope"}).json()
    assert (enveloped["code"], enveloped["message"]) == (115, answer.json()["message"])


def test_over_rest_and_in_a_will(broker: BrokerProcess, client: Client):
    client.subscribe("t/#")
    broker.api("POST", "mqtt/publish", json={"topic": "$delayed/1/t/rest", "payload": "1"})
    assert client.receive().topic == "t/rest"
    with socket.create_connection(("127.0.0.1", broker.mqtt_port)) as sock:
        sock.sendall(b"\x10\x24\x00\x04MQTT\x04\x06\x00\x3c\x00\x02wi\x00\x10$delayed/1/t/wil\x00\x02no")
        assert sock.recv(4) == b"\x20\x02\x00\x00"
    assert client.receive().topic == "t/wil"


def test_pending_ones_survive_kill_9_and_unloading(start_broker):
    broker = start_broker()
    with Client(broker.mqtt_port) as client:
        client.publish("$delayed/12/t", b"over the kill", retain=True)
        client.publish("$delayed/1/t", b"done before it", retain=True)
        client.subscribe("t")
        assert client.receive().payload == b"done before it"
        client.publish("t", b"", retain=True)  # acknowledged when all before it is on disk
    broker.kill9()
    broker.start()
    unload(broker, "emqx_delayed_publish")
    with Client(broker.mqtt_port) as client:
        client.subscribe("$delayed/#")
        client.publish("$delayed/1/x", b"an ordinary topic now")
        assert client.receive().topic == "$delayed/1/x"
    load(broker, "emqx_delayed_publish")
    with Client(broker.mqtt_port) as client:
        client.subscribe("t")
        assert client.receive(20).payload == b"over the kill"
        assert client.silent()


def test_what_is_acknowledged_survives_kill_9(start_broker):
    """The PUBACK of a delayed message comes after its row is on disk; what was published leaves the disk."""
    broker = start_broker()
    client = Client(broker.mqtt_port)
    client.subscribe("gone")
    for number in range(50):
        client.publish("$delayed/0/gone", b"%d" % number)
    for _ in range(50):
        client.receive()
    for number in range(200):
        client.publish(f"$delayed/15/t/{number}", b"kept")
    broker.kill9()
    broker.start()
    assert "and 200 delayed ones" in broker.stderr
    with Client(broker.mqtt_port) as client:
        client.subscribe("t/#")
        assert {client.receive(30).topic for _ in range(200)} == {f"t/{number}" for number in range(200)}
        assert client.silent()


# -- whom it is allowed to ---------------------------------------------------------------------------


SECRET = '{deny, all, publish, ["secret/#"]}.\n{allow, all}.\n'


def with_rules(tmp_path: Path, text: str = SECRET, **env: str) -> dict[str, str]:
    path = tmp_path / "acl.conf"
    path.write_text(text)
    return {"EMQX_ACL_FILE": str(path), "EMQX_ENABLE_ACL_CACHE": "off"} | env


def test_the_acl_is_asked_about_both_names(start_broker, tmp_path: Path):
    """`$delayed/0/secret/x` is a message to `secret/x`, from a client, through a rule, and as a will."""
    broker = start_broker(env=with_rules(
        tmp_path, EMQX_MODULE__REWRITE="on", EMQX_MODULE__REWRITE__RULE__1="open/# ^open/(.+)$ secret/$1"))
    with Client(broker.mqtt_port, version=paho.MQTTv5) as client:
        client.subscribe("#")
        for topic in ("$delayed/0/secret/x", "$delayed/0/open/x", "$delayed/0/$SYS/x"):
            assert client.publish(topic, b"", qos=1).value == 0x87, topic
            client.paho.publish(topic, b"", 0)
        assert client.publish("$delayed/0/t", b"now").value == 0x10
        assert client.receive().topic == "t"
        assert client.silent()
        assert broker.api("GET", "delayed").json()["items"] == []
    with socket.create_connection(("127.0.0.1", broker.mqtt_port)) as sock:
        sock.sendall(b"\x10\x27\x00\x04MQTT\x04\x06\x00\x3c\x00\x02wi\x00\x13$delayed/0/secret/x\x00\x02no")
        assert sock.recv(4) == b"\x20\x02\x00\x05"


def test_the_acl_is_asked_again_when_a_message_is_due(start_broker, tmp_path: Path):
    """With all that it goes by of the client, also after kill -9; what REST publishes is past the ACL, then as now."""
    rules = ('{allow, {user, "joe"}, publish, ["now/secret/x"]}.\n'
             '{deny, all, publish, ["now/secret/#"]}.\n{allow, all}.\n')
    broker = start_broker(env=with_rules(tmp_path))
    with Client(broker.mqtt_port, "reader", clean=False) as reader:  # its session has what is due before it is back
        reader.subscribe("now/#", 1)
    with Client(broker.mqtt_port, "c", "joe") as joe, Client(broker.mqtt_port, "d", "jim") as jim:
        for client in (joe, jim):
            for topic in ("now/secret/x", "now/other"):
                client.publish(f"$delayed/8/{topic}", (client.paho._client_id or b"") + b" " + topic.encode())
        given = {"topic": "$delayed/8/now/secret/x", "payload": "rest", "client_id": "d", "qos": 1}
        assert broker.api("POST", "mqtt/publish", json=given).json() == {"code": 0}
    with_rules(tmp_path, rules)
    broker.kill9()
    broker.start()
    with Client(broker.mqtt_port, "reader", clean=False) as reader:
        got = sorted(reader.receive(30).payload for _ in range(4))
        assert got == [b"c now/other", b"c now/secret/x", b"d now/other", b"rest"]
        wait_until(lambda: "1 delayed messages are dropped" in broker.stderr)
        assert reader.silent()


# -- how many ----------------------------------------------------------------------------------------


LIMITS = {"EMQX_DELAYED_PUBLISH__MAX_MESSAGES": "5", "EMQX_DELAYED_PUBLISH__MAX_CLIENT_MESSAGES": "3",
          "EMQX_DELAYED_PUBLISH__MAX_BYTES": "3KB", "EMQX_DELAYED_PUBLISH__MAX_CLIENT_BYTES": "2KB"}


def refused_count(broker: BrokerProcess) -> int:
    found = broker.api("GET", "nodes/emqx@127.0.0.1/metrics?_fields=extended").json()
    return int(found["delayed/refused"])


def test_limits_of_a_client_and_of_all(start_broker):
    """0x97 in MQTT 5, 102 with a sentence over REST; what is deleted or published makes room."""
    broker = start_broker(env=LIMITS)
    port, version = broker.mqtt_port, paho.MQTTv5
    with Client(port, "a", version=version) as a, Client(port, "b", version=version) as b:
        assert [a.publish("$delayed/900/t", b"").value for _ in range(4)] == [0x10] * 3 + [0x97]
        assert [b.publish("$delayed/900/t", b"").value for _ in range(3)] == [0x10] * 2 + [0x97]
        told = broker.api("POST", "mqtt/publish", json={"topic": "$delayed/900/t", "client_id": "c"}).json()
        assert told == {"code": 102, "message": "$delayed/900/t: the broker keeps as many delayed messages as it may"}
        rows = broker.api("GET", "delayed").json()["items"]
        for row in rows:
            assert broker.api("DELETE", f"delayed/{row['id']}").json() == "ok"
        assert [a.publish("$delayed/900/t", b"x" * 1024).value for _ in range(2)] == [0x10, 0x97]
        assert [b.publish("$delayed/900/t", b"x" * 1024).value for _ in range(2)] == [0x10, 0x97]
        told = broker.api("POST", "mqtt/publish", json={"topic": "$delayed/900/t", "payload": "x" * 1024}).json()
        assert told["code"] == 102
        a.publish("t", b"ordinary ones are none")
    assert refused_count(broker) == 6


def test_a_store_with_more_than_the_limits_is_kept(start_broker, tmp_path: Path):
    """Nothing that was acknowledged is lost for a setting; new ones are refused until there is room."""
    broker = start_broker()
    with Client(broker.mqtt_port, "a") as client:
        for number in range(20):
            client.publish(f"$delayed/900/t/{number}", b"x" * 500)
    broker.kill9()
    broker.env |= LIMITS
    broker.start()
    assert broker.api("GET", "delayed").json()["meta"]["count"] == 20
    with Client(broker.mqtt_port, "b", version=paho.MQTTv5) as client:
        assert client.publish("$delayed/900/t", b"").value == 0x97


def test_many_pending(start_broker):
    """50,000 of them, and still in time."""
    broker = start_broker(env={"EMQX_DELAYED_PUBLISH__MAX_CLIENT_MESSAGES": "0"})
    before = broker.rss()
    count = 50_000
    frame = b"\x30\x18\x00\x0e$delayed/999/t12345678"
    with socket.create_connection(("127.0.0.1", broker.mqtt_port)) as sock, Client(broker.mqtt_port) as client:
        sock.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab")
        assert sock.recv(4) == b"\x20\x02\x00\x00"
        sock.sendall(frame * count)
        sock.sendall(b"\xc0\x00")
        assert sock.recv(2) == b"\xd0\x00"
        client.subscribe("t")
        client.publish("$delayed/1/t", b"among them")
        assert client.receive().payload == b"among them"
    assert broker.rss() - before < count * 1500
    wait_until(lambda: broker.stop() == 0, 20)
