"""emqx_retainer (behaviour, 22.18): settings in effect at once; unloading stops the service and says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import paho.mqtt.client as paho
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, load, unload


@pytest.fixture(scope="module")
def retaining(tmp_path_factory: pytest.TempPathFactory):
    broker = BrokerProcess(tmp_path_factory.mktemp("retaining")).start()
    yield broker
    broker.kill9()


def retained(broker: BrokerProcess) -> int:
    return int(broker.api("GET", f"{NODE}/stats").json()["retained/count"])


def test_unloading_stops_the_service_and_says_so(retaining: BrokerProcess):
    with Client(retaining.mqtt_port, version=paho.MQTTv5) as client:
        assert client.connack.RetainAvailable == 1
        client.publish("kept", b"before", retain=True)
        unload(retaining, "emqx_retainer")
        client.publish("kept", b"without", retain=True)
        client.subscribe("kept")
        assert client.silent()
    assert "The retained service is stopped" in retaining.stderr
    assert retained(retaining) == 0
    with Client(retaining.mqtt_port, version=paho.MQTTv5) as client:
        assert client.connack.RetainAvailable == 0
    load(retaining, "emqx_retainer")
    with Client(retaining.mqtt_port, version=paho.MQTTv5) as client:
        assert client.connack.RetainAvailable == 1
        client.subscribe("kept")
        assert client.receive().payload == b"before"
        client.publish("kept", b"", retain=True)
    wait_until(lambda: retained(retaining) == 0, 10)


def test_settings_are_hot_over_both_entries_and_survive(start_broker):
    broker = start_broker()
    answer = broker.api("PUT", "configs/emqx_retainer", json={"key": "retainer.max_payload_size", "value": "4"})
    assert answer.json() == "ok"
    with Client(broker.mqtt_port) as client:
        client.publish("size", b"12345", retain=True)
        client.publish("small", b"1234", retain=True)
        assert retained(broker) == 1
        whole = {"retainer.max_retained_messages": "2", "retainer.expiry_interval": "1s"}
        assert broker.api("PUT", f"{NODE}/plugin_configs/emqx_retainer", json=whole).json() == "ok"
        for topic in ("size", "third"):
            client.publish(topic, b"12345", retain=True)
        assert retained(broker) == 2
        # The interval holds for what was kept before it was set, too: the sweep takes both away.
        wait_until(lambda: retained(broker) == 0, 10)
    items = broker.api("GET", f"{NODE}/configs").json()
    values = {item["key"]: item["value"] for item in items if item["app"] == "emqx_retainer"}
    assert values == {"retainer.max_payload_size": "1048576", "retainer.max_retained_messages": "2",
                      "retainer.expiry_interval": "1000"}
    broker.kill9()
    broker.start()
    assert [item for item in broker.api("GET", f"{NODE}/configs").json() if item["app"] == "emqx_retainer"] == [
        item for item in items if item["app"] == "emqx_retainer"]
    assert broker.api("DELETE", "configs/emqx_retainer?key=retainer.expiry_interval").json() == "ok"


def test_what_expires_leaves_the_disk_too(start_broker):
    """MQTT 5.0 [MQTT-3.3.2-5]."""
    broker = start_broker()
    properties = paho.Properties(paho.PacketTypes.PUBLISH)
    with Client(broker.mqtt_port, version=paho.MQTTv5) as client:
        client.publish("stays", b"1", retain=True)
        properties.MessageExpiryInterval = 1
        client.publish("goes", b"1", retain=True, properties=properties)
        wait_until(lambda: retained(broker) == 1, 10)
    assert broker.stop() == 0
    with closing(sqlite3.connect(broker.data_dir / "messages.db")) as store:
        assert store.execute("SELECT key FROM retained").fetchall() == [(b"stays",)]


def test_hot_keys_are_listed_while_the_plugin_runs(retaining: BrokerProcess):
    def apps() -> set[str]:
        return {item["app"] for item in retaining.api("GET", f"{NODE}/configs").json()}

    assert apps() == {"emqx", "emqx_retainer"}
    unload(retaining, "emqx_retainer")
    assert apps() == {"emqx"}
    answer = retaining.api("PUT", "configs/emqx_retainer", json={"key": "retainer.max_payload_size", "value": "4"})
    assert (answer.status_code, answer.json()) == (500, {"message": "not_found"})
    load(retaining, "emqx_retainer")
    load(retaining, "emqx_auth_username")
    assert apps() == {"emqx", "emqx_retainer", "emqx_auth_username"}
    unload(retaining, "emqx_auth_username")


@pytest.mark.parametrize(("key", "value", "status"), [
    ("retainer.max_payload_size", "big", 422), ("retainer.storage_type", "disc", 500), ("nope", "1", 500),
])
def test_what_cannot_be_set(retaining: BrokerProcess, key: str, value: str, status: int):
    answer = retaining.api("PUT", "configs/emqx_retainer", json={"key": key, "value": value})
    assert answer.status_code == status
