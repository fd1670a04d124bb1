"""emqx_auth_mongo against a peer of MongoDB's wire protocol (behaviour, 22.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest

from tests.auth_backends.conftest import connack, sha256
from tests.auth_backends.injections import INJECTIONS
from tests.backends.mongo import MongoPeer
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load

PLUGIN = "emqx_auth_mongo"
ENTERS, DENIED, UNAVAILABLE = 0, 0x87, 0x88


def fill(peer: MongoPeer) -> MongoPeer:
    peer.collections = {
        "mqtt_user": [
            {"username": "joe", "password": sha256("secret")},
            {"username": "root", "password": sha256("secret"), "is_superuser": True},
            {"username": "almost", "password": sha256("secret"), "is_superuser": 1},
            {"username": "number", "password": 7}, {"username": "empty", "password": ""}, {"username": "none"},
            {"username": "acl", "password": sha256("secret")},
        ],
        "mqtt_acl": [{"username": "acl", "publish": ["mine/%u", 7], "subscribe": ["in/%c"], "pubsub": ["both/#"]}],
    }
    return peer


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., BrokerProcess]]:
    started: list[BrokerProcess] = []

    def start(**env: str) -> BrokerProcess:
        place = tmp_path_factory.mktemp("broker")
        (place / "acl.conf").touch()
        broker = BrokerProcess(place, {"EMQX_ALLOW_ANONYMOUS": "false", "EMQX_ACL_NOMATCH": "deny",
                                       "EMQX_ACL_FILE": str(place / "acl.conf"), **env}).start()
        started.append(broker)
        load(broker, PLUGIN)
        return broker

    yield start
    for broker in started:
        broker.kill9()


@pytest.fixture(scope="module")
def peer() -> Iterator[MongoPeer]:
    peer = fill(MongoPeer())
    yield peer
    peer.stop()


@pytest.fixture(scope="module")
def broker(start: Callable[..., BrokerProcess], peer: MongoPeer) -> BrokerProcess:
    return start(EMQX_AUTH__MONGO__SERVER=f"127.0.0.1:{peer.port}")


def enters(broker: BrokerProcess, name: str | None, password: str | bytes | None = "secret") -> int:
    return connack(broker.mqtt_port, name, password)


def test_who_gets_in(broker: BrokerProcess):
    for name in ("joe", "root", "almost"):
        assert enters(broker, name) == ENTERS
        for wrong in ("wrong", "", None, b"\xff\0", "x" * 60_000):
            assert enters(broker, name, wrong) == DENIED
    for name in ("nobody", "number", "empty", "none", None):
        assert enters(broker, name) == DENIED
    assert enters(broker, "empty", "") == DENIED


@pytest.mark.parametrize("name", INJECTIONS)
def test_a_name_is_never_an_operator(broker: BrokerProcess, name: str):
    """The peer asserts that what it is asked for is a text."""
    assert enters(broker, name) == DENIED


def test_rules_and_super_users(broker: BrokerProcess, peer: MongoPeer):
    peer.commands.clear()
    with Client(broker.mqtt_port, "c1", "acl", "secret", version=paho.MQTTv5) as client:
        for topic, code in (("mine/acl", 0x10), ("mine/x", DENIED), ("both/a/b", 0x10), ("in/c1", DENIED)):
            assert client.publish(topic).value == code, topic
        for topic, code in (("in/c1", 0), ("in/c2", DENIED), ("both/#", 0), ("mine/acl", DENIED)):
            assert client.subscribe(topic) == code, topic
    assert [command["find"] for command in peer.commands].count("mqtt_acl") == 1, "once a connection"
    for name, code in (("root", 0x10), ("almost", DENIED)):  # is_superuser is exactly true
        with Client(broker.mqtt_port, "c", name, "secret", version=paho.MQTTv5) as client:
            assert client.publish("any").value == code


@pytest.mark.parametrize("fault", [{"ok": 0.0, "code": 13, "errmsg": "not authorized"},
                                   {"ok": 0.0, "code": 59, "errmsg": "no such command"}])
def test_a_server_that_refuses(broker: BrokerProcess, peer: MongoPeer, fault: dict[str, object]):
    peer.fault = fault
    assert enters(broker, "joe") == UNAVAILABLE
    peer.fault = None
    wait_until(lambda: enters(broker, "joe") == ENTERS, 10)


def test_a_server_that_is_slow(broker: BrokerProcess, peer: MongoPeer):
    peer.delay = 4
    assert enters(broker, "joe") == UNAVAILABLE
    peer.delay = 0
    wait_until(lambda: enters(broker, "joe") == ENTERS, 10)


def test_a_server_that_goes_and_comes_back(start: Callable[..., BrokerProcess]):
    peer = fill(MongoPeer())
    broker = start(EMQX_AUTH__MONGO__SERVER=f"127.0.0.1:{peer.port}")
    assert enters(broker, "joe") == ENTERS
    peer.stop()
    assert enters(broker, "joe") == UNAVAILABLE
    again = fill(MongoPeer(peer.port))
    wait_until(lambda: enters(broker, "joe") == ENTERS, 10)
    again.stop()


def test_another_member_of_the_set(start: Callable[..., BrokerProcess]):
    """EMQ X stayed with the first primary until it was restarted."""
    first, second = fill(MongoPeer()), fill(MongoPeer())
    hosts = [f"127.0.0.1:{peer.port}" for peer in (first, second)]
    for peer in (first, second):
        peer.set_name, peer.hosts, peer.primary = "rs0", hosts, hosts[0]
    broker = start(EMQX_AUTH__MONGO__TYPE="rs", EMQX_AUTH__MONGO__RS_SET_NAME="rs0",
                   EMQX_AUTH__MONGO__SERVER=",".join(hosts))
    assert enters(broker, "joe") == ENTERS
    assert first.commands
    second.primary = hosts[1]
    first.stop()
    wait_until(lambda: enters(broker, "joe") == ENTERS, 15, "the other one's turn")
    assert second.commands
    second.stop()
