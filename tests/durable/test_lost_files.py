"""A file of an installation that is missing, empty, short, older, or of another installation ends the start with 65.

None of them may be taken for a first start: users, applications and bans would be gone without a word.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from emqx_mgmt.storage import DataDirError, Store, migrate
from emqx_mgmt.storage.backup import export
from emqx_mgmt.storage.checksums import tables
from emqx_mgmt.storage.messages import check
from emqx_mgmt.storage.schema import MIGRATIONS, SEALED, connect
from tests.broker_process import BrokerProcess
from tests.clients.raw import PUBACK, connected
from tests.durable.commands import data
from tests.durable.damage import copy, cut, flip, hole, noise, zero

Start = Callable[..., BrokerProcess]
Loss = Callable[[Path, Path], object]

DAMAGES = int(os.environ.get("DAMAGES", "150"))


def in_use(start_broker: Start, tmp_path: Path, name: str) -> tuple[BrokerProcess, Path]:
    """A broker with a user and a queued message, ended by kill -9, and a copy of its directory."""
    broker = start_broker()
    for number in range(3):
        assert broker.api("POST", "users/", json={"username": f"u{number}", "password": "p", "tags": ""}).ok
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    publisher.send_publish("q", b"1", 1, 1)
    publisher.expect(PUBACK)
    broker.kill9()
    place = tmp_path / name
    shutil.copytree(broker.data_dir, place, ignore=shutil.ignore_patterns("*.sock"))
    return broker, place


def started(data_dir: Path) -> int | None:
    """What the master does before there is a worker: its exit code, None when it goes on."""
    try:
        migrate(data_dir)
        check(data_dir, synced=True)
    except DataDirError as error:
        return error.code
    return None


def records(data_dir: Path) -> dict[str, list[Any]]:
    with closing(connect(data_dir)) as connection:
        return {table: [tuple(row) for row in connection.execute(f"SELECT * FROM {table}")]
                for table in tables(connection)}


def emptied(name: str) -> Loss:
    return lambda place, other: (place / name).write_bytes(b"")


def removed(*names: str) -> Loss:
    return lambda place, other: [(place / name).unlink() for name in names]


def shortened(name: str, to: float) -> Loss:
    def shorten(place: Path, other: Path) -> None:
        data = (place / name).read_bytes()
        (place / name).write_bytes(data[:int(len(data) * to)])
    return shorten


def replaced(*names: str) -> Loss:
    """With those of another installation."""
    return lambda place, other: [shutil.copy(other / name, place / name) for name in names]


def replaced_whole(name: str) -> Loss:
    """With all that belongs to it."""
    def replace(place: Path, other: Path) -> None:
        for file in place.glob(f"{name}*"):
            file.unlink()
        for file in other.glob(f"{name}*"):
            shutil.copy(file, place)
    return replace


def later_format(name: str) -> Loss:
    """SQLite would read it, and refuse to write."""
    def change(place: Path, other: Path) -> None:
        data = bytearray((place / name).read_bytes())
        data[18] = 3
        (place / name).write_bytes(data)
    return change


def made_anew(place: Path, other: Path) -> None:
    """A database without tables."""
    removed("management.db", "management.db-wal", "management.db-last")(place, other)
    with closing(sqlite3.connect(place / "management.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def without_a_row(place: Path, other: Path) -> None:
    with closing(sqlite3.connect(place / "management.db")) as connection:
        connection.executescript("DROP TRIGGER checksum_of_user_DELETE; DELETE FROM user WHERE username = 'u1';")


def without_a_table(place: Path, other: Path) -> None:
    with closing(sqlite3.connect(place / "management.db")) as connection:
        connection.executescript("DROP TABLE ban; DELETE FROM checksum WHERE name = 'ban';")


LOSSES: dict[str, Loss] = {
    "records empty": emptied("management.db"),
    "records missing": removed("management.db"),
    "records missing with their log": removed("management.db", "management.db-wal", "management.db-last"),
    "records, installation and log missing": removed("management.db", "management.db-wal", "management.db-last",
                                                     "installation"),
    "records cut in half": shortened("management.db", 0.5),
    "records of one byte": lambda place, other: (place / "management.db").write_bytes(b"S"),
    "records made anew": made_anew,
    "records of another": replaced_whole("management.db"),
    "records without a row": without_a_row,
    "records without a table": without_a_table,
    "log missing": removed("management.db-wal"),
    "log empty": emptied("management.db-wal"),
    "log cut in half": shortened("management.db-wal", 0.5),
    "log cut at its end": shortened("management.db-wal", 0.98),
    "installation garbled": lambda place, other: (place / "installation").write_bytes(b"?"),
    "installation of another": replaced("installation"),
    "tables and journal missing": removed("messages.db", "messages.db-wal", "journal.db", "journal.db-wal"),
    "records of a later format": later_format("management.db"),
    "tables of a later format": later_format("messages.db"),
    "journal of a later format": later_format("journal.db"),
    "tables of another": replaced_whole("messages.db"),
    "journal of another": replaced_whole("journal.db"),
}


def test_lost_files(start_broker: Start, tmp_path: Path):
    broker, whole = in_use(start_broker, tmp_path, "whole")
    _, other = in_use(start_broker, tmp_path, "other")
    export(broker.data_dir, tmp_path / "backup.zip")
    assert started(copy(whole, tmp_path / "lost")) is None
    for name, lose in LOSSES.items():
        place = copy(whole, tmp_path / "lost")
        lose(place, other)
        kind = "*.db" if name.startswith("records") else "messages.db"
        before = {file: file.read_bytes() for file in place.glob(kind)}
        assert started(place) == os.EX_DATAERR, name
        assert {file: file.read_bytes() for file in place.glob(kind)} == before, f"{name}: it is left alone"
    for file in broker.data_dir.glob("management.db*"):
        file.unlink()
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert "management.db is damaged: it is missing or empty, and this is not the first start" in broker.stderr
    assert data(broker, "import", tmp_path / "backup.zip").returncode == 0
    broker.start()
    assert len(broker.api("GET", "users/").json()) == 4
    assert connected(broker.mqtt_port, "keeper").connack.present


def test_older_copy(start_broker: Start, tmp_path: Path):
    """It has fewer changes than were acknowledged."""
    broker, older = in_use(start_broker, tmp_path, "older")
    broker.start()
    assert broker.api("POST", "users/", json={"username": "late", "password": "p", "tags": ""}).ok
    broker.kill9()
    for name in ("management.db", "management.db-wal"):
        shutil.copy(older / name, broker.data_dir)
    assert started(broker.data_dir) == os.EX_DATAERR


def test_random_damage_to_the_records(start_broker: Start, tmp_path: Path):
    """Found before there is a worker; else every row is as it was."""
    _, store = in_use(start_broker, tmp_path, "store")
    whole = records(copy(store, tmp_path / "whole"))
    assert len(whole["user"]) == 4
    seed = int(os.environ.get("DURABLE_SEED", random.randrange(1 << 30)))
    chance, told = random.Random(seed), 0
    for number in range(DAMAGES):
        place = copy(store, tmp_path / "damaged")
        file = chance.choice([place / "management.db", place / "management.db-wal"])
        damage = chance.choice([flip, zero, noise, hole, cut])
        data = bytearray(file.read_bytes())
        damage(data, chance)
        file.write_bytes(data)
        code = started(place)
        if code is None:
            assert records(place) == whole, f"{damage.__name__} in {file.name}: number {number} of seed {seed}"
        else:
            # 78: the number of the schema is that of a newer version
            assert code in (os.EX_DATAERR, os.EX_CONFIG), (
                f"{damage.__name__} in {file.name}: number {number} of seed {seed}")
            told += 1
    assert told > DAMAGES // 10


def test_records_of_an_older_version(tmp_path: Path):
    """They get checksums and the number of the installation, and keep their rows."""
    with closing(sqlite3.connect(tmp_path / "management.db")) as old:
        old.executescript("".join(MIGRATIONS[:SEALED - 1]) + f"PRAGMA user_version = {SEALED - 1};")
        old.execute("INSERT INTO user (username, hash, tags) VALUES ('kept', 'hash', '')")
        old.commit()
    migrate(tmp_path)
    assert records(tmp_path)["user"][0][0] == "kept"
    (tmp_path / "management.db").write_bytes(b"")
    assert started(tmp_path) == os.EX_DATAERR


@pytest.mark.parametrize("left", ["nothing", "an empty file", "an empty database"])
def test_first_start_that_was_cut_short(tmp_path: Path, left: str):
    """By a full disk, for one: it is a first start again."""
    if left == "an empty file":
        (tmp_path / "management.db").touch()
    elif left == "an empty database":
        connect(tmp_path).close()
    assert started(tmp_path) is None
    assert len(records(tmp_path)["secret_key"]) == 1


def test_plugins_tables_have_checksums(start_broker: Start):
    broker = start_broker({"EMQX_PLUGINS__LOADED": "emqx_auth_username"})
    assert broker.api("POST", "auth_username", json={"username": "u", "password": "p"}).ok
    assert broker.stop() == 0
    assert started(broker.data_dir) is None
    with closing(sqlite3.connect(broker.data_dir / "management.db")) as records:
        records.executescript("DROP TRIGGER checksum_of_emqx_auth_username_UPDATE;"
                              "UPDATE emqx_auth_username SET scheme = 'plain';")
    assert started(broker.data_dir) == os.EX_DATAERR


def test_tables_that_a_plugin_changes_while_it_runs(tmp_path: Path):
    """They have checksums from then on, and none of what is gone."""
    store = Store(tmp_path)
    store.open()
    for statement in ("CREATE TABLE first (a, b)", "INSERT INTO first VALUES (1, 2.5)",
                      "ALTER TABLE first RENAME TO second", "CREATE TABLE third (a)", "DROP TABLE third",
                      "UPDATE second SET a = 'x'"):
        store.run(lambda connection, text: connection.execute(text), statement)
    store.close()
    assert started(tmp_path) is None
    with closing(sqlite3.connect(tmp_path / "management.db")) as records:
        records.executescript("DROP TRIGGER checksum_of_second_DELETE; DELETE FROM second;")
    assert started(tmp_path) == os.EX_DATAERR
