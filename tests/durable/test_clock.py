"""The wall time that messages are stored with, and a clock that is set while they wait."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from emqx_mgmt.broker import Broker
from router_ext.durable.journal import Journal
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import INSTALLED, install, load

DAY = 86400

def test_is_not_read_anew_for_a_late_look(monkeypatch: pytest.MonkeyPatch):
    """Retained messages come in the order of their times after a restart. A process that had to wait for the processor
    between its two clocks moves no message before another; a clock that was set does."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        broker, journal = Broker(), Journal(ours.fileno())
        broker.engine.now = 5_000
        monkeypatch.setattr(time, "time", lambda: 1_000.0)
        broker.durable.attach(journal, SimpleNamespace(next_sid=1, next_entry=1, next_number=1))
        assert journal.wall_offset == 995_000
        monkeypatch.setattr(time, "time", lambda: 1_000.3)
        broker.durable.keep_time()
        assert journal.wall_offset == 995_000
        monkeypatch.setattr(time, "time", lambda: 400.0)
        broker.durable.keep_time()
        assert journal.wall_offset == 395_000


@pytest.fixture
def clocked(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> Callable[[], BrokerProcess]:
    """A broker whose wall clock `PUT /test_clock` sets."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(INSTALLED / "clock_plugin.py", site)
    install(site, "clock", {"test_clock": "clock_plugin:Clock"})

    def start() -> BrokerProcess:
        broker = start_broker({"PYTHONPATH": str(site)})
        load(broker, "test_clock")
        return broker

    return start


def set_clock(broker: BrokerProcess, seconds: float) -> None:
    """The broker looks at its clocks ten times a second; the second look shows that it has."""
    assert broker.api("PUT", "test_clock", json={"seconds": seconds}).json() == "ok"
    for _ in range(2):
        shown = broker.api("GET", "brokers/emqx@127.0.0.1").json()["datetime"]
        wait_until(lambda shown=shown: broker.api("GET", "brokers/emqx@127.0.0.1").json()["datetime"] != shown)


def connect(broker: BrokerProcess, client_id: str) -> Client:
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 7 * DAY
    return Client(broker.mqtt_port, client_id, version=paho.MQTTv5, clean_start=False, properties=lasting)


def queue_for(broker: BrokerProcess, topic: str, payload: bytes) -> None:
    """One message with an hour to live, for a client that is away."""
    hour = Properties(PacketTypes.PUBLISH)
    hour.MessageExpiryInterval = 3600
    with Client(broker.mqtt_port, "publisher", version=paho.MQTTv5) as publisher:
        publisher.publish(topic, payload, 1, properties=hour)


def leave_behind(broker: BrokerProcess, client_id: str) -> None:
    """A session that waits for its client."""
    with connect(broker, client_id) as reader:
        assert reader.subscribe(client_id, 1) == 1
    wait_until(lambda: not broker.api("GET", f"connections/{client_id}").json())


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_is_set_while_messages_wait(clocked: Callable[[], BrokerProcess], jump: int):
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6] The interval runs by the time that passes, whatever the wall clock says: a message
    with an hour to live is there seconds later, with no more than its hour left."""
    broker = clocked()
    leave_behind(broker, "reader")
    queue_for(broker, "reader", b"before")
    set_clock(broker, jump)
    queue_for(broker, "reader", b"after")
    listed = broker.api("GET", "sessions/reader/messages/").json()["items"]
    assert [3500 <= row["expires_in"] <= 3600 for row in listed] == [True, True]
    with connect(broker, "reader") as reader:
        for payload in (b"before", b"after"):
            message = reader.receive()
            assert message.payload == payload
            assert 3500 <= message.properties.MessageExpiryInterval <= 3600
    assert "day" not in broker.api("GET", "brokers/emqx@127.0.0.1").json()["uptime"]


def test_was_set_back_while_the_broker_was_down(clocked: Callable[[], BrokerProcess]):
    """After a restart the wall time counts, and a message has never more than its interval left [MQTT-3.3.2-6]."""
    broker = clocked()
    leave_behind(broker, "reader")
    set_clock(broker, DAY)
    queue_for(broker, "reader", b"from tomorrow")
    broker.kill9()
    broker.start()
    with connect(broker, "reader") as reader:
        message = reader.receive()
        assert message.payload == b"from tomorrow"
        assert 3500 <= message.properties.MessageExpiryInterval <= 3600
