"""A full disk, a damaged file, a store process that dies."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.broker_process import BrokerProcess, free_ports, has_ended, wait_until
from tests.clients.raw import PUBACK, PUBLISH, Raw, connected

Start = Callable[..., BrokerProcess]
QUOTA_EXCEEDED = 0x97


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(disk: Path) -> Path:
    """Takes the last byte of it with a file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def leave(disk: Path, free: int) -> Path:
    """A file that takes all of a disk but for `free` bytes."""
    filler = fill_up(disk)
    os.truncate(filler, filler.stat().st_size - free)
    return filler


def probe(broker: BrokerProcess, what: str) -> tuple[int, str]:
    """The answer of a health probe; 0: none."""
    try:
        answer = requests.get(f"{broker.base_url}/health/{what}", timeout=2, headers={"Connection": "close"})
    except requests.RequestException:
        return 0, ""
    return answer.status_code, answer.text


def test_start_with_next_to_no_room(start_broker: Start, small_disk: Path):
    """Where the process goes on, probes are answered, with what is in the way; clients once there is room."""
    data_dir, waited = small_disk / "data", 0
    for free in range(240, 440, 40):
        filler = leave(small_disk, free << 10)
        broker = start_broker({"EMQX_NODE__DATA_DIR": str(data_dir)}, ready=False)
        wait_until(lambda broker=broker: broker.running.poll() is not None or probe(broker, "live")[0], 30)
        if broker.running.poll() is not None:
            assert broker.running.returncode == os.EX_OSERR
        elif probe(broker, "ready")[0] == 503:
            waited += 1
            assert probe(broker, "live") == (200, "ok\n")
            assert re.match(r"not ready\nThe (records|message store) cannot be opened: ", probe(broker, "ready")[1])
            assert broker.api("GET", "users/").status_code == 503
        filler.unlink()
        if broker.running.poll() is None:
            wait_until(lambda broker=broker: probe(broker, "ready") == (200, "ok\n"), 30)
            connected(broker.mqtt_port, "keeper")
            assert broker.stop() == 0
            assert "Traceback" not in broker.stderr, broker.stderr
        shutil.rmtree(data_dir)
    assert waited


def test_first_start_on_a_full_disk(start_broker: Start, small_disk: Path):
    """71 with a sentence; what it leaves is in nobody's way once there is room."""
    (small_disk / "data").mkdir()
    (port,) = free_ports(1)
    env = {"EMQX_NODE__DATA_DIR": str(small_disk / "data"), "EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}"}
    for free in (0, 8 << 10, 100 << 10, 140 << 10, 180 << 10):
        filler = leave(small_disk, free)
        broker = start_broker(env, ready=False)
        wait_until(lambda broker=broker: broker.running.poll() is not None or probe(broker, "live")[0], 30)
        if broker.running.poll() is not None:
            assert broker.running.returncode == os.EX_OSERR, broker.stderr
            assert len(broker.stderr.strip().splitlines()) <= 2, broker.stderr
        filler.unlink()
        if broker.running.poll() is None:
            broker.stop()
    assert start_broker(env).status().ok


def test_hup_on_a_full_disk(start_broker: Start, small_disk: Path):
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(small_disk / "data")})
    filler, worker = fill_up(small_disk), broker.worker
    broker.signal(signal.SIGHUP)
    wait_until(lambda: "and the worker goes on" in broker.stderr)
    assert "Less than 1024 KiB are free in the data directory" in broker.stderr
    assert broker.status().ok
    filler.unlink()
    broker.signal(signal.SIGHUP)
    wait_until(lambda: has_ended(worker), 20)
    wait_until(broker.is_ready, 20)


def test_full_disk(start_broker: Start, small_disk: Path):
    """Publishers are told with 0x97, or before MQTT 5 not acknowledged; the broker stays, and recovers."""
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(small_disk / "data")})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    five = connected(broker.mqtt_port, "five", version=5, clean=True)
    old = connected(broker.mqtt_port, "old", clean=True)
    five.send_publish("q", b"first", 1, 1)
    assert five.expect(PUBACK).code == 0
    filler = fill_up(small_disk)
    reasons = []
    for pid in range(2, 12):
        five.send_publish("q", bytes(20000), 1, pid)
        reasons.append(five.expect(PUBACK).code)
    assert reasons[-1] == QUOTA_EXCEEDED, reasons
    taken = reasons.count(0)
    old.send_publish("q", b"waits", 1, 1)
    assert old.receive(within=1) is None
    five.send_publish("other", b"not stored", 1, 20)
    assert five.expect(PUBACK).code in (0, 0x10)
    connected(broker.mqtt_port, "stranger", version=5, session_expiry=60, code=QUOTA_EXCEEDED)
    assert "message_store_full" in broker.api("GET", "alarms/").text
    filler.unlink()
    assert old.expect(PUBACK).pid == 1
    wait_until(lambda: "message_store_full" not in broker.api("GET", "alarms/").text, 10, "the end of the alarm")
    five.send_publish("q", b"last", 1, 30)
    assert five.expect(PUBACK).code == 0
    broker.kill9()
    broker.start()
    keeper = connected(broker.mqtt_port, "keeper")
    got = [keeper.message().payload]
    while got[-1] != b"last":
        got.append(keeper.message().payload)
    assert got[0] == b"first"
    assert len([payload for payload in got if len(payload) == 20000]) >= taken
    assert got[-2] == b"waits"


def test_disk_that_the_broker_filled(start_broker: Start, small_disk: Path):
    """Space returns when subscribers fetch what takes it: they are served while publishers are refused."""
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(small_disk / "data"), "EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "0"})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher, taken = connected(broker.mqtt_port, "publisher", version=5, clean=True), 0
    publisher.send_publish("q", b"0" * 1000, 1, 1)
    while publisher.expect(PUBACK).code == 0:
        taken += 1
        publisher.send_publish("q", b"%d" % taken * 1000, 1, taken % 65535 + 1)
    assert "message_store_full" in broker.api("GET", "alarms/").text
    connected(broker.mqtt_port, "stranger", version=5, session_expiry=60, code=QUOTA_EXCEEDED)
    keeper = connected(broker.mqtt_port, "keeper")
    assert keeper.connack.present
    for number in range(taken):
        assert keeper.message().payload.startswith(b"%d" % number)
    wait_until(lambda: "message_store_full" not in broker.api("GET", "alarms/").text, 20, "the end of the alarm")
    publisher.send_publish("q", b"again", 1, 1)
    assert publisher.expect(PUBACK).code == 0
    assert keeper.message().payload.endswith(b"again")


NODE = "nodes/emqx@127.0.0.1"
OLD, NEW = {"password": "secret"}, {"password": "another"}
# One row of each kind, in the order in which they are made.
RECORDS = [
    ("POST", "users/", {"username": "old", "tags": ""} | OLD),
    ("POST", "apps/", {"app_id": "old", "name": "old"}),
    ("POST", "banned/", {"who": "old", "as": "username"}),
    ("POST", "scram_users/", {"username": "old"} | OLD),
    ("POST", "topic_metrics/", {"topic": "old"}),
    ("PUT", f"{NODE}/plugins/emqx_auth_username/load", None),
    ("POST", "auth_username", {"username": "old"} | OLD),
    ("PUT", "configs/emqx", {"key": "mqtt.mqueue.max_length", "value": "77"}),
]
CHANGES = [
    ("POST", "users/", {"username": "new", "tags": ""} | NEW),
    ("PUT", "users/old", {"tags": "viewer"}),
    ("PUT", "change_pwd/old", {"old_pwd": "secret", "new_pwd": "another"}),
    ("DELETE", "users/old", None),
    ("POST", "apps/", {"app_id": "new", "name": "new"}),
    ("PUT", "apps/old", {"name": "new"}),
    ("POST", "apps/old/secret", None),
    ("DELETE", "apps/old", None),
    ("POST", "banned/", {"who": "new", "as": "username"}),
    ("DELETE", "banned/old?as=username", None),
    ("POST", "scram_users/", {"username": "new"} | NEW),
    ("PUT", "scram_users/old", {"is_superuser": True} | NEW),
    ("DELETE", "scram_users/old", None),
    ("POST", "topic_metrics/", {"topic": "new"}),
    ("DELETE", "topic_metrics/old", None),
    ("POST", "auth_username", {"username": "new"} | NEW),
    ("PUT", "auth_username/old", NEW),
    ("DELETE", "auth_username/old", None),
    ("PUT", f"{NODE}/plugins/emqx_auth_clientid/load", None),
    ("PUT", f"{NODE}/plugins/emqx_auth_username/unload", None),
    ("PUT", "configs/emqx", {"key": "mqtt.mqueue.max_length", "value": "78"}),
    ("PUT", "configs/emqx_retainer", {"key": "retainer.max_payload_size", "value": "1KB"}),
    ("PUT", f"{NODE}/plugin_configs/emqx_retainer", {"retainer.max_payload_size": "1KB"}),
    ("DELETE", "configs/emqx?key=mqtt.mqueue.max_length", None),
]
SENTENCE = r"The record store \S+/management\.db cannot be used: (database or disk is full|disk I/O error)"
READ = ["users/", "apps/", "banned/", "scram_users/", "auth_username", f"{NODE}/plugins/", f"{NODE}/configs/"]


def records(broker: BrokerProcess) -> list[str]:
    metered = [row["topic"] for row in broker.api("GET", "topic_metrics/").json()["items"]]
    login = broker.api("POST", "auth", json={"username": "old"} | OLD).text
    return [broker.api("GET", path).text for path in READ] + [*metered, login]


@pytest.fixture(params=["full", "broken"])
def bad_disk(request: pytest.FixtureRequest, start_broker: Start) -> tuple[BrokerProcess, Callable[[], object]]:
    """A broker with records whose disk takes no more, and what mends that."""
    place = request.getfixturevalue("small_disk") / "data" if request.param == "full" else None
    broker = start_broker({"EMQX_NODE__DATA_DIR": str(place)} if place else {})
    for method, path, body in RECORDS:
        assert broker.api(method, path, json=body).ok
    if place:
        return broker, fill_up(place.parent).unlink
    worker, unlimited = broker.worker, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    worker.rlimit(psutil.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))     # each write is an error
    return broker, lambda: worker.rlimit(psutil.RLIMIT_FSIZE, unlimited)


def test_records_on_a_bad_disk(bad_disk: tuple[BrokerProcess, Callable[[], object]]):
    """A change that cannot be stored is answered with what and where, and is not made; once it can be, it is."""
    broker, mend = bad_disk
    before = records(broker)
    for method, path, body in CHANGES:
        answer = broker.api(method, path, json=body)
        assert (answer.status_code, list(answer.json())) == (500, ["message"]), (method, path)
        assert re.fullmatch(SENTENCE, answer.json()["message"]), (method, path)
    assert records(broker) == before
    code = broker.api("POST", "users/?_style=envelope", json={"username": "new", "tags": ""} | NEW).json()["code"]
    assert code == 102
    mend()
    for method, path, body in CHANGES:
        answer = broker.api(method, path, json=body)
        assert answer.ok, (method, path, answer.text)


def fill(broker: BrokerProcess) -> Path:
    """A store with something in it, after a stop."""
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid in range(1, 301):
        publisher.send_publish("q", b"%d" % pid * 50, 1, pid)
        publisher.expect(PUBACK)
    assert broker.stop() == 0
    return broker.data_dir / "messages.db"


@pytest.mark.parametrize("damage", ["cut off", "emptied", "zeros", "payload"])
def test_damaged_file(start_broker: Start, damage: str):
    """Detected and told at the start, and left as it is."""
    broker = start_broker()
    path = fill(broker)
    data = bytearray(path.read_bytes())
    if damage == "cut off":
        data = data[:len(data) // 2]
    elif damage == "emptied":
        data = data[:0]
    elif damage == "zeros":
        data[16384:24576] = bytes(8192)
    else:
        at = data.index(b"77" * 40)
        data[at] = ord("8")
    path.write_bytes(data)
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert "messages.db is damaged" in broker.stderr
    assert path.read_bytes() == data


def test_damaged_records(start_broker: Start):
    broker = start_broker()
    assert broker.stop() == 0
    path = broker.data_dir / "management.db"
    data = path.read_bytes()
    data = data[:4096] + bytes(range(256)) * 16 + data[8192:]
    path.write_bytes(data)
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert "management.db is damaged" in broker.stderr
    assert path.read_bytes() == data


def test_second_broker(start_broker: Start):
    """Two brokers on one data directory: the second refuses."""
    broker = start_broker()
    second = start_broker({"EMQX_NODE__DATA_DIR": str(broker.data_dir)}, ready=False)
    assert second.wait() == os.EX_UNAVAILABLE
    assert "in use by another broker" in second.stderr


def test_store_process_dies(start_broker: Start):
    """The worker ends with it; the next one goes on from what is on disk."""
    broker = start_broker()
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    worker = broker.worker
    store = next(child for child in psutil.Process(worker.pid).children() if "process" in " ".join(child.cmdline()))
    os.kill(store.pid, signal.SIGKILL)
    wait_until(lambda: has_ended(worker), 20, "the worker's end")
    wait_until(broker.is_ready, 20, "the next worker")
    assert wait_until(lambda: keeper_of(broker), 10).connack.present


def keeper_of(broker: BrokerProcess) -> Raw | None:
    try:
        return connected(broker.mqtt_port, "keeper")
    except (OSError, AssertionError):
        return None


def test_new_worker_finds_the_sessions(start_broker: Start):
    """HUP: the new worker waits for the old one's store."""
    broker = start_broker()
    keeper = connected(broker.mqtt_port, "keeper", version=5, session_expiry=600)
    keeper.subscribe("q", qos=1)
    old = broker.worker.pid
    broker.signal(signal.SIGHUP)
    goodbye = keeper.receive()
    assert goodbye is not None
    assert (goodbye.kind, goodbye.code) == (14, 0x8B)
    keeper = connected(broker.mqtt_port, "keeper", version=5, session_expiry=600)
    assert keeper.connack.present
    wait_until(lambda: broker.worker.pid != old, 10)
    connected(broker.mqtt_port, "publisher", clean=True).send_publish("q", b"1", 1, 1)
    assert keeper.expect(PUBLISH).payload == b"1"


def test_what_is_removed_is_counted_and_told(start_broker: Start):
    """Limits, expiry and administrators may remove messages that were acknowledged; an alarm says so, and ends."""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "2", "EMQX_MONITOR__CHECK_INTERVAL": "1s"})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid in range(1, 6):
        publisher.send_publish("q", b"1", 1, pid)
        publisher.expect(PUBACK)
    assert broker.api("DELETE", "sessions/persistent/keeper").status_code == 200
    wait_until(lambda: "messages_removed" in broker.api("GET", "alarms/").text, 10, "the alarm")
    (node,) = broker.api("GET", "metrics/?_fields=extended").json()
    assert node["metrics"]["dropped/queue_full"] == 3
    assert node["metrics"]["dropped/session_ended"] == 2
    wait_until(lambda: "messages_removed" not in broker.api("GET", "alarms/").text, 10, "the end of the alarm")
