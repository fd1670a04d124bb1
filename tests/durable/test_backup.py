"""Backups: made while the broker runs, restored into a running one and into a stopped one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import requests

from tests.broker_process import CHECKOUT, BrokerProcess, wait_until
from tests.durable.client import PUBACK, PUBLISH, Client

Start = Callable[..., BrokerProcess]


def data(broker: BrokerProcess, verb: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = "from emqx_mgmt.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, "data", verb, str(file)], env=broker.env, cwd=CHECKOUT,
                          capture_output=True, text=True, timeout=60, check=False)


def filled(broker: BrokerProcess) -> None:
    Client(broker.mqtt_port, "keeper").subscribe("q", 1)
    Client(broker.mqtt_port, "keeper").disconnect()
    publisher = Client(broker.mqtt_port, "publisher", clean=True)
    publisher.publish("q", b"queued", 1, 1, retain=True)
    publisher.read(PUBACK)


def test_into_a_running_broker(start_broker: Start, tmp_path: Path):
    first, second = start_broker(), start_broker()
    filled(first)
    file = tmp_path / "backup.zip"
    assert data(first, "export", file).returncode == 0
    worker = second.worker.pid
    assert data(second, "import", file).returncode == 0
    wait_until(lambda: second.worker.pid != worker and has_keeper(second), 30)
    keeper = Client(second.mqtt_port, "keeper")
    assert keeper.present
    assert keeper.read(PUBLISH).payload == b"queued"


def test_over_rest_under_load(start_broker: Start):
    """What was acknowledged before the request is in the backup, in order and once, whatever goes on meanwhile."""
    first, second = start_broker(), start_broker()
    Client(first.mqtt_port, "keeper").subscribe("q", 1)
    Client(first.mqtt_port, "keeper").disconnect()
    publisher, acknowledged = Client(first.mqtt_port, "publisher", clean=True), [0]
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            number = acknowledged[0] + 1
            publisher.publish("q", b"%d" % number, 1, number % 65535 + 1)
            publisher.read(PUBACK)
            acknowledged[0] = number
            for clean in (False, True):     # a session begins and ends, now and then in the same commit
                Client(first.mqtt_port, "passer", clean=clean).disconnect()

    load = threading.Thread(target=publish)
    load.start()
    wait_until(lambda: acknowledged[0] > 100)
    before = acknowledged[0]
    answer = first.api("POST", "data/export", timeout=60)
    stop.set()
    load.join()
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    worker = second.worker.pid
    assert second.api("POST", "data/import", data=answer.content, timeout=60).json() == "ok"
    wait_until(lambda: second.worker.pid != worker and has_keeper(second), 30)
    keeper, got = Client(second.mqtt_port, "keeper"), []
    while (packet := keeper.receive(1)) is not None:
        got.append(int(packet.payload))
        keeper.ack(PUBACK, packet.pid)
    assert got == list(range(1, len(got) + 1))
    assert before <= len(got) <= acknowledged[0]


def has_keeper(broker: BrokerProcess) -> bool:
    """False also while the old worker ends the connections that wait for another request."""
    try:
        return bool(broker.api("GET", "sessions/keeper").json())
    except requests.ConnectionError:
        return False


def test_rest_takes_backups_only(start_broker: Start):
    broker = start_broker()
    answer = broker.api("POST", "data/import", data=b"nonsense")
    assert answer.status_code == 500
    assert "is not a backup" in answer.json()["message"]
    assert broker.api("GET", "sessions/").status_code == 200


def test_into_a_stopped_broker(start_broker: Start, tmp_path: Path):
    broker = start_broker()
    filled(broker)
    file = tmp_path / "backup.zip"
    assert data(broker, "export", file).returncode == 0
    Client(broker.mqtt_port, "keeper", clean=True).disconnect()
    assert broker.stop() == 0
    assert data(broker, "import", file).returncode == 0
    broker.start()
    assert Client(broker.mqtt_port, "keeper").present


def test_not_a_backup(start_broker: Start, tmp_path: Path):
    broker = start_broker()
    file = tmp_path / "backup.zip"
    file.write_bytes(b"nonsense")
    answer = data(broker, "import", file)
    assert answer.returncode == 65
    assert "is not a backup" in answer.stderr


def test_delete_a_session(start_broker: Start):
    """Behaviour, section 23: a session is deleted with its queue, unless its client is connected."""
    broker = start_broker()
    filled(broker)
    running = Client(broker.mqtt_port, "running")
    assert "running_session" in broker.api("DELETE", "sessions/persistent/running").text
    assert running.present is False
    assert "not_found" in broker.api("DELETE", "sessions/persistent/nobody").text
    assert broker.api("DELETE", "sessions/persistent/keeper").status_code == 200
    broker.kill9()
    broker.start()
    assert not Client(broker.mqtt_port, "keeper").present
