"""USR2 to other code, while clients publish: two installations and a link to the one that is current.

The short form installs the code of the checkout twice, under two version numbers. `UPGRADE_FROM` and `UPGRADE_TO` name
directories that pip has installed into (`make test-upgrade FROM=<revision>`).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psutil
import pytest

from tests.broker_process import CHECKOUT, BrokerProcess, has_ended, wait_until

COMMAND = Path(sys.executable).with_name("emqx-mgmt")
METADATA = "Metadata-Version: 2.1\nName: emqx-mgmt\nVersion: {}\n"
SESSION_S = 3600


def installed(place: Path, version: str) -> Path:
    """What pip leaves: the packages, and which version they are."""
    for package in "emqx_mgmt", "router_ext":
        shutil.copytree(CHECKOUT / package, place / package,
                        ignore=shutil.ignore_patterns("*.c", "*.pyx", "*.pxd", "__pycache__"))
    about = place / f"emqx_mgmt-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA.format(version))
    return place


def version_in(place: Path) -> str:
    (about,) = place.glob("emqx_mgmt-*.dist-info")
    return about.name.removesuffix(".dist-info").partition("-")[2]


def begins(place: Path) -> str:
    """Of the line with which this installation starts; both may have the same version."""
    return f"Starting: emqx-mgmt {version_in(place)},"


@pytest.fixture
def installations(tmp_path: Path) -> tuple[Path, Path]:
    before, after = os.environ.get("UPGRADE_FROM"), os.environ.get("UPGRADE_TO")
    if before and after:
        return Path(before), Path(after)
    return installed(tmp_path / "before", "0.0.1"), installed(tmp_path / "after", "0.0.2")


class Peer:
    """A client of MQTT 5 whose session outlives its connections, and that comes back by itself."""

    def __init__(self, broker: BrokerProcess, client_id: str) -> None:
        self.received: set[int] = set()
        self.acknowledged: set[int] = set()
        self.numbers: dict[int, int] = {}
        self.connects = 0
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self.on_connect
        self.client.on_message = lambda _client, _data, message: self.received.add(int(message.payload))
        self.client.on_publish = lambda _client, _data, mid, *_: self.acknowledged.add(self.numbers[mid])
        properties = paho.Properties(paho.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_S
        self.client.connect("127.0.0.1", broker.mqtt_port, clean_start=False, properties=properties)
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.loop_start()

    def on_connect(self, *_: Any) -> None:
        self.connects += 1
        self.client.subscribe("upgrade", 1)

    def publish(self, number: int) -> None:
        sent = self.client.publish("upgrade", str(number), 1)
        self.numbers[sent.mid] = number

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def publishing(publisher: Peer) -> Iterator[None]:
    """Message after message, each once the one before is acknowledged."""
    done = threading.Event()

    def run() -> None:
        number = 0
        while not done.is_set():
            publisher.publish(number)
            while number not in publisher.acknowledged and not done.wait(0.002):
                pass
            number += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_usr2_to_other_code_loses_nothing_acknowledged(installations: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = installations
    current = tmp_path / "current"
    current.symlink_to(before)
    directory = tmp_path / "empty"
    directory.mkdir()
    broker = BrokerProcess(tmp_path, {"PYTHONPATH": str(current)}, [str(COMMAND), "start"], directory).start()
    successor = None
    publisher, subscriber = Peer(broker, "publisher"), Peer(broker, "subscriber")
    try:
        wait_until(lambda: subscriber.subscribed.is_set())
        assert broker.api("POST", "apps", json={"app_id": "older", "name": "made before"}).ok
        starts = broker.stderr.count(begins(after))
        with publishing(publisher):
            wait_until(lambda: len(subscriber.received) > 50)
            (tmp_path / "next").symlink_to(after)
            (tmp_path / "next").replace(current)
            broker.signal(signal.SIGUSR2)
            master = psutil.Process(broker.running.pid)
            wait_until(lambda: broker.stderr.count(begins(after)) > starts, 30)
            successor = max(master.children(), key=lambda child: child.create_time())
            broker.signal(signal.SIGTERM)
            assert broker.wait() == 0
            wait_until(lambda: publisher.connects > 1 and subscriber.connects > 1, 30, "the clients' return")
            soon = len(publisher.acknowledged) + 50
            wait_until(lambda: len(publisher.acknowledged) > soon, 30, "messages after the upgrade")
        wait_until(lambda: publisher.acknowledged <= subscriber.received, 20,
                   f"each of {len(publisher.acknowledged)} acknowledged messages")
        assert broker.api("GET", "apps/older").json()["name"] == "made before"
        assert "Traceback" not in broker.stderr, broker.stderr
    finally:
        publisher.close()
        subscriber.close()
        if successor is not None:
            successor.terminate()
            wait_until(lambda: has_ended(successor), 20)
        else:
            broker.kill9()
