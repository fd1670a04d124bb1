"""Damage to any file of a store is told at the start, or takes nothing away that was acknowledged.

`DAMAGES` random damages (default 150) of a store whose broker was killed, and as many of one that was stopped.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from emqx_mgmt.storage import DataDirError, migrate
from emqx_mgmt.storage.messages import check
from emqx_mgmt.storage.wal import LogDamaged, verify_log
from tests.broker_process import BrokerProcess
from tests.durable.contents import amounts_to, fill
from tests.durable.damage import FRAME, copy, cut, flip, hole, noise, zero

Start = Callable[..., BrokerProcess]

DAMAGES = int(os.environ.get("DAMAGES", "150"))
LOG_HEADER = 32


@pytest.fixture(params=["killed", "stopped"])
def store(request: pytest.FixtureRequest, start_broker: Start, tmp_path: Path) -> Path:
    """The files of a store, without the management records."""
    broker = start_broker()
    fill(broker)
    broker.kill9() if request.param == "killed" else broker.stop()
    place = tmp_path / "store"
    place.mkdir()
    for file in [*broker.data_dir.glob("messages.db*"), *broker.data_dir.glob("journal.db*")]:
        shutil.copy(file, place)
    return place


def test_random_damage(store: Path, tmp_path: Path):
    """Found by what the master does before there is a worker; else everything is there as it was."""
    whole = amounts_to(copy(store, tmp_path / "whole"))
    assert all(whole.values()), {table: len(rows) for table, rows in whole.items()}
    seed = int(os.environ.get("DURABLE_SEED", random.randrange(1 << 30)))
    chance, told = random.Random(seed), 0
    for number in range(DAMAGES):
        place = copy(store, tmp_path / "damaged")
        file = chance.choice([file for file in sorted(place.iterdir()) if file.stat().st_size])
        damage = chance.choice([flip, zero, noise, hole, cut])
        data = bytearray(file.read_bytes())
        damage(data, chance)
        file.write_bytes(data)
        code = complaint(place)
        if code is None:
            assert amounts_to(place) == whole, f"{damage.__name__} in {file.name}: number {number} of seed {seed}"
        else:
            # 78: the number of the schema is that of a newer version
            assert code in (os.EX_DATAERR, os.EX_CONFIG)
            assert file.read_bytes() == data, "what is damaged is left alone"
            told += 1
    assert told > DAMAGES // 10


@pytest.mark.parametrize("store", ["stopped"], indirect=True)
def test_schema_that_is_no_text(store: Path):
    """SQLite quotes it when it says what is wrong."""
    file = store / "messages.db"
    data = file.read_bytes()
    assert data.count(b"CREATE TABLE retained (") == 1
    file.write_bytes(data.replace(b"CREATE TABLE retained (", b"CREATE TABLE retained \x9e"))
    assert complaint(store) == os.EX_DATAERR


def test_records_with_a_schema_that_is_no_text(tmp_path: Path):
    migrate(tmp_path)
    file = tmp_path / "management.db"
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE audit (", b"CREATE TABLE audit \x9e"))
    with pytest.raises(DataDirError, match="is damaged: malformed database schema") as raised:
        migrate(tmp_path)
    assert raised.value.code == os.EX_DATAERR


def complaint(data_dir: Path) -> int | None:
    """The exit code of the start."""
    try:
        check(data_dir, synced=True)
    except DataDirError as error:
        return error.code
    return None


def log_of(store: Path) -> tuple[Path, int]:
    """The journal's log, and how many frames it has."""
    path = store / "journal.db-wal"
    return path, (path.stat().st_size - LOG_HEADER) // FRAME


@pytest.mark.parametrize("store", ["killed"], indirect=True)
def test_torn_end(store: Path, tmp_path: Path):
    """What a power cut leaves of a commit that was not synced is no damage: any part of it, in any order."""
    path, frames = log_of(store)
    data = path.read_bytes()
    last = max(n for n in range(frames - 1) if size_after_commit(data, n)) + 1
    (store / "journal.db-last").unlink()    # that it was acknowledged: here it was not
    path.write_bytes(data[:LOG_HEADER + last * FRAME])
    before = amounts_to(copy(store, tmp_path / "before"))
    for frame in range(last, frames):
        torn = bytearray(data)
        torn[LOG_HEADER + frame * FRAME + 100] ^= 1
        path.write_bytes(torn)
        check(store, synced=True)
        assert amounts_to(copy(store, tmp_path / "torn")) == before


@pytest.mark.parametrize("store", ["killed"], indirect=True)
def test_damaged_middle(store: Path):
    """Commits behind it prove that it was on disk; where nothing was synced, they prove nothing."""
    path, frames = log_of(store)
    (store / "journal.db-last").unlink()
    data = bytearray(path.read_bytes())
    data[LOG_HEADER + frames // 2 * FRAME + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataDirError, match=r"commits in journal\.db-wal lie behind a part"):
        check(store, synced=True)
    assert path.read_bytes() == data


def test_two_power_cuts(tmp_path: Path):
    """What the first has left of a long commit lies behind what the second has left of a short one: that is no damage.
    The same damage is one where a commit of the same log lies behind it."""
    database, log, frame, begin = tmp_path / "x.db", tmp_path / "x.db-wal", 24 + 4096, 0
    for rows in (40, 20):
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.executescript("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
                                     "CREATE TABLE IF NOT EXISTS t (data BLOB);")
            begin = begin or log.stat().st_size
            connection.execute(f"INSERT INTO t VALUES {', '.join(['(randomblob(4000))'] * rows)}")
            data, pages = bytearray(log.read_bytes()), database.read_bytes()
        data[begin + frame:begin + 2 * frame] = bytes(frame)
        log.write_bytes(data)
        database.write_bytes(pages)
        verify_log(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        for _ in range(2):
            connection.execute("INSERT INTO t VALUES (randomblob(9000))")
        data = bytearray(log.read_bytes())
        data[begin + frame:begin + 2 * frame] = bytes(frame)
        log.write_bytes(data)
        with pytest.raises(LogDamaged, match=r"commits in x\.db-wal lie behind a part"):
            verify_log(database)


def test_damaged_log_of_the_records(start_broker: Start):
    broker = start_broker()
    for number in range(3):
        assert broker.api("POST", "users/", json={"username": f"u{number}", "password": "p", "tags": ""}).ok
    broker.kill9()
    path = broker.data_dir / "management.db-wal"
    data = bytearray(path.read_bytes())
    data[LOG_HEADER + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataDirError, match=r"management\.db is damaged"):
        migrate(broker.data_dir)
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert path.read_bytes() == data


def size_after_commit(data: bytes, frame: int) -> int:
    at = LOG_HEADER + frame * FRAME + 4
    return int.from_bytes(data[at:at + 4], "big")
