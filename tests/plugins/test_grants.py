"""What a plugin may grant beyond letting a client in: until when, and rules of the client's own."""

from __future__ import annotations

import time

import paho.mqtt.client as paho
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load

NO_SUBSCRIBERS, NOT_AUTHORIZED, MAXIMUM_CONNECT_TIME = 0x10, 0x87, 0xA0


@pytest.fixture
def granting(start_with_plugins) -> BrokerProcess:
    broker: BrokerProcess = start_with_plugins()
    load(broker, "test_granting")
    return broker


def test_a_connection_ends_with_its_grant(granting: BrokerProcess):
    """With the reason "maximum connect time" for MQTT 5, and its will; others stay."""
    with Client(granting.mqtt_port, "watcher", "other") as watcher:
        watcher.subscribe("wills/#")
        began = time.monotonic()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, "short", protocol=paho.MQTTv5)
        client.username_pw_set("until:1.5", "x")
        client.will_set("wills/short", b"gone")
        ended: list[int] = []
        client.on_disconnect = lambda _c, _u, _flags, code, _p: ended.append(code.value)
        client.connect("127.0.0.1", granting.mqtt_port)
        client.loop_start()
        assert watcher.receive().payload == b"gone"
        assert 1.4 < time.monotonic() - began < 6
        wait_until(lambda: ended)
        client.loop_stop()
        assert ended[0] == MAXIMUM_CONNECT_TIME
        assert watcher.publish("x") is not None


def test_the_end_is_that_of_the_connection(granting: BrokerProcess):
    """A client that comes again with a longer grant is not ended with the earlier one."""
    with Client(granting.mqtt_port, "again", "until:1"):
        pass
    with Client(granting.mqtt_port, "again", "until:3600") as client:
        time.sleep(1.3)
        client.publish("still/here")
        assert granting.api("GET", "connections/again").json()


def test_rules_that_came_with_a_client(granting: BrokerProcess):
    """Before everything else, and for this client only; `%u` and `%c` are levels."""
    expected = {"own/rules/out": NO_SUBSCRIBERS, "own/other/out": NOT_AUTHORIZED, "own/secret/x": NOT_AUTHORIZED,
                "free": NOT_AUTHORIZED}
    filters = {"own/dev/#": 0, "own/dev/a": 0, "own/+/a": NOT_AUTHORIZED, "own/secret/#": NOT_AUTHORIZED}
    with Client(granting.mqtt_port, "dev", "rules", version=paho.MQTTv5) as client, \
            Client(granting.mqtt_port, "dev2", "other", version=paho.MQTTv5) as other:
        assert {topic: client.publish(topic).value for topic in expected} == expected
        assert {topic: client.subscribe(topic) for topic in filters} == filters
        assert {other.publish(topic).value for topic in expected} == {NO_SUBSCRIBERS}
        assert {other.subscribe(topic) for topic in filters} == {0}
        said = granting.api("GET", "explain/", params={"topic": "own/rules/out", "client_id": "dev"}).json()
        assert said["publisher"]["by"] == "the grant's second rule"
    with Client(granting.mqtt_port, "dev", "other", version=paho.MQTTv5) as client:  # they end with the connection
        assert {client.publish(topic).value for topic in expected} == {NO_SUBSCRIBERS}


def test_a_will_is_asked_about_by_the_clients_own_rules(granting: BrokerProcess):
    def code(topic: str) -> int | None:
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, "willing", protocol=paho.MQTTv5)
        client.username_pw_set("rules", "x")
        client.will_set(topic, b"")
        answers: list[int] = []
        client.on_connect = lambda _c, _u, _f, code, _p: answers.append(code.value)
        client.connect("127.0.0.1", granting.mqtt_port)
        client.loop_start()
        wait_until(lambda: answers)
        client.disconnect()
        client.loop_stop()
        return answers[0]

    assert (code("own/rules/out"), code("own/secret/x")) == (0, NOT_AUTHORIZED)


def test_a_ruling_names_its_rule(start_with_plugins):
    broker = start_with_plugins()
    load(broker, "test_ruler")
    with Client(broker.mqtt_port, "c", version=paho.MQTTv5) as client:
        assert (client.publish("yes/1").value, client.publish("no/1").value) == (NO_SUBSCRIBERS, NOT_AUTHORIZED)
        said = broker.api("GET", "explain/", params={"topic": "no/1", "client_id": "c"}).json()["publisher"]
        assert (said["allowed"], said["by"]) == (False, "test_ruler, rule of no/1")
