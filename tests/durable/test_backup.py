"""Backups: made while the broker runs, restored into a running one and into a stopped one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sqlite3
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

from emqx_mgmt.storage.backup import stage
from emqx_mgmt.storage.schema import MIGRATIONS, SEALED
from tests.broker_process import APP, BrokerProcess, has_ended, wait_until
from tests.clients.raw import PUBACK, PUBLISH, connected
from tests.durable.commands import data

Start = Callable[..., BrokerProcess]


def filled(broker: BrokerProcess) -> None:
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    publisher.send_publish("q", b"queued", 1, 1, retain=True)
    publisher.expect(PUBACK)


def test_into_a_running_broker(start_broker: Start, tmp_path: Path):
    first, second = start_broker(), start_broker()
    filled(first)
    file = tmp_path / "backup.zip"
    assert data(first, "export", file).returncode == 0
    worker = second.worker.pid
    assert data(second, "import", file).returncode == 0
    wait_until(lambda: second.worker.pid != worker and has_keeper(second), 30)
    keeper = connected(second.mqtt_port, "keeper")
    assert keeper.connack.present
    assert keeper.expect(PUBLISH).payload == b"queued"


def test_over_rest_under_load(start_broker: Start):
    """What was acknowledged before the request is in the backup, in order and once, whatever goes on meanwhile."""
    first, second = start_broker(), start_broker()
    connected(first.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(first.mqtt_port, "keeper").disconnect()
    publisher, acknowledged = connected(first.mqtt_port, "publisher", clean=True), [0]
    stop = threading.Event()

    def publish() -> None:
        while not stop.is_set():
            number = acknowledged[0] + 1
            publisher.send_publish("q", b"%d" % number, 1, number % 65535 + 1)
            publisher.expect(PUBACK)
            acknowledged[0] = number
            for clean in (False, True):     # a session begins and ends, now and then in the same commit
                connected(first.mqtt_port, "passer", clean=clean).disconnect()

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
    keeper, got = connected(second.mqtt_port, "keeper"), []
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
    connected(broker.mqtt_port, "keeper", clean=True).disconnect()
    assert broker.stop() == 0
    assert data(broker, "import", file).returncode == 0
    broker.start()
    assert connected(broker.mqtt_port, "keeper").connack.present


def test_not_a_backup(start_broker: Start, tmp_path: Path):
    broker = start_broker()
    file = tmp_path / "backup.zip"
    file.write_bytes(b"nonsense")
    answer = data(broker, "import", file)
    assert answer.returncode == 65
    assert "is not a backup" in answer.stderr


def archive_of(broker: BrokerProcess) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(broker.api("POST", "data/export", timeout=60).content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members: dict[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return whole.getvalue()


def with_schemas(members: dict[str, bytes], **schemas: int) -> dict[str, bytes]:
    manifest = json.loads(members["manifest.json"])
    manifest["schemas"] |= {name.replace("__", "/").replace("_", "."): version for name, version in schemas.items()}
    return members | {"manifest.json": json.dumps(manifest).encode()}


def changed(database: bytes, script: str, place: Path) -> bytes:
    """The bytes of a database after a script."""
    place.write_bytes(database)
    with closing(sqlite3.connect(place)) as connection:
        connection.executescript(f"PRAGMA journal_mode = DELETE; {script}")
    return place.read_bytes()


OLD = f"{''.join(MIGRATIONS[:SEALED - 1])} PRAGMA user_version = {SEALED - 1};"


def test_backups_that_no_broker_could_start_with(start_broker: Start, tmp_path: Path):
    """Opened as a broker opens its stores, beside those that there are, before anything is replaced."""
    broker = start_broker()
    good, worker = archive_of(broker), broker.worker
    old = with_schemas(good, management_db=SEALED - 1)

    def without(script: str) -> dict[str, bytes]:
        """A store of the version before checksums, which something is wrong with."""
        return old | {"management.db": changed(b"", OLD + script, tmp_path / "old.db")}

    bad = {
        "nothing of a broker": {"x": b""},
        "no records": {name: content for name, content in good.items() if name != "management.db"},
        "empty records": good | {"management.db": b""},
        "records cut in half": good | {"management.db": good["management.db"][:20000]},
        "a version that is not the file's": with_schemas(good, management_db=1),
        "a negative version": with_schemas(good | {"lock": b"1"}, lock=-1),
        "a nested name": with_schemas(good | {"a/b": b"1"}, a__b=1),
        "a name above": with_schemas(good | {"../x": b"1"}, **{"..__x": 1}),
        "no key": without("DELETE FROM secret_key;"),
        "no users": without("DROP TABLE user;"),
        "users without a column": without("ALTER TABLE user DROP COLUMN hash;"),
        "a row less": good | {"management.db": changed(
            good["management.db"], "DROP TRIGGER checksum_of_user_DELETE; DELETE FROM user;", tmp_path / "less.db")},
        "no journal": {name: content for name, content in good.items() if name != "journal.db"},
        "messages cut in half": good | {"messages.db": good["messages.db"][:20000]},
    }
    before = {file.name for file in broker.data_dir.iterdir()}
    for name, members in bad.items():
        answer = broker.api("POST", "data/import", data=packed(members), timeout=60)
        assert answer.status_code == 500, name
        sentence = r"it (is not a backup that can be read|cannot be started with|has )"
        assert re.match(sentence, answer.json()["message"]), (name, answer.text)
        assert {file.name for file in broker.data_dir.iterdir()} - before <= {"import.lock"}, name
    assert broker.worker == worker
    for fine in (without(""), good):
        worker = broker.worker
        answer = broker.api("POST", "data/import", data=packed(fine), timeout=60)
        assert answer.json() == "ok"
        wait_until(lambda worker=worker: has_ended(worker), 30)
        wait_until(broker.is_ready, 30)
    assert broker.stop() == 0


def test_the_audit_record_survives_an_import(start_broker: Start, tmp_path: Path):
    """What was changed before, and who imported, over REST and on the command line, beside the record of the backup."""
    broker, other = start_broker(), start_broker()
    for one, name in ((broker, "here"), (other, "there")):
        assert one.api("POST", "users/", json={"username": name, "password": "p", "tags": ""}).ok
    backup, worker = other.api("POST", "data/export", timeout=60).content, broker.worker
    assert broker.api("POST", "data/import", data=backup, timeout=60).json() == "ok"
    wait_until(lambda: has_ended(worker), 30)
    wait_until(broker.is_ready, 30)
    assert [row["username"] for row in broker.api("GET", "users/").json()] == ["admin", "there"]
    assert [row["action"] for row in audited(broker)] == ["import_data", "create_user", "create_user"]
    (tmp_path / "backup.zip").write_bytes(backup)
    assert broker.stop() == 0
    done = data(broker, "import", tmp_path / "backup.zip")
    assert done.returncode == 0, done.stderr
    broker.start()
    latest = audited(broker)[0]
    assert (latest["action"], latest["kind"], latest["who"]) == ("import_data", "local", "root")
    assert len(audited(broker)) == 4


def audited(broker: BrokerProcess) -> list[dict[str, str]]:
    rows = broker.api("GET", "audit/").json()
    return list(rows["items"] if isinstance(rows, dict) else rows)


def test_import_twice(start_broker: Start):
    """At the same time, and while the first one makes the worker start anew."""
    broker = start_broker()
    backup, worker = broker.api("POST", "data/export", timeout=60).content, broker.worker
    answers: list[int] = []

    def restore() -> None:
        with contextlib.suppress(requests.ConnectionError):
            answers.append(requests.post(f"{broker.base_url}/api/v3/data/import", data=backup, timeout=60,
                                         auth=APP).status_code)

    threads = [threading.Thread(target=restore) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join()
    assert 200 in answers
    wait_until(lambda: has_ended(worker), 30)
    wait_until(broker.is_ready, 30)
    assert broker.stop() == 0
    assert "failed to boot" not in broker.stderr
    assert "Traceback" not in broker.stderr, broker.stderr


def test_what_export_gives_import_takes(start_broker: Start):
    """However long it is."""
    broker = start_broker({"EMQX_MANAGEMENT__MAX_BODY_SIZE": "4KB"})
    backup, worker = broker.api("POST", "data/export", timeout=60).content, broker.worker
    assert len(backup) > 4096
    assert broker.api("POST", "data/import", data=backup, timeout=60).json() == "ok"
    wait_until(lambda: has_ended(worker), 30)
    wait_until(broker.is_ready, 30)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_an_import_are_the_services(start_broker: Start, tmp_path: Path):
    """Readable by their owner alone, who is the directory's, whoever imports."""
    broker = start_broker()
    file = tmp_path / "backup.zip"
    assert data(broker, "export", file).returncode == 0
    assert broker.stop() == 0
    shutil.rmtree(broker.data_dir)
    broker.data_dir.mkdir()
    os.chown(broker.data_dir, 4242, 4243)
    assert data(broker, "import", file).returncode == 0
    for made in broker.data_dir.iterdir():
        status = made.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4242, 4243, 0o600), made


def test_an_import_that_was_cut_short(start_broker: Start):
    """By a power cut between two files, for one: the next start goes on with it."""
    broker = start_broker()
    filled(broker)
    backup = broker.api("POST", "data/export", timeout=60).content
    broker.kill9()
    stage(io.BytesIO(backup), broker.data_dir)
    ready = broker.data_dir / "import.ready"
    for suffix in ("-wal", "-shm", "-last"):
        (broker.data_dir / f"journal.db{suffix}").unlink(missing_ok=True)
    (ready / "journal.db").replace(broker.data_dir / "journal.db")
    broker.start()
    assert not ready.exists()
    assert connected(broker.mqtt_port, "keeper").connack.present


def test_delete_a_session(start_broker: Start):
    """Behaviour, section 23: a session is deleted with its queue, unless its client is connected."""
    broker = start_broker()
    filled(broker)
    running = connected(broker.mqtt_port, "running")
    assert "running_session" in broker.api("DELETE", "sessions/persistent/running").text
    assert running.connack.present is False
    assert "not_found" in broker.api("DELETE", "sessions/persistent/nobody").text
    assert broker.api("DELETE", "sessions/persistent/keeper").status_code == 200
    broker.kill9()
    broker.start()
    assert not connected(broker.mqtt_port, "keeper").connack.present
