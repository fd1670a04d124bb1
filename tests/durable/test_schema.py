"""A store that an older version of the broker has left is brought to this one; no half of it is taken for the whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zlib import crc32

import pytest

from emqx_mgmt.broker.durable import decode_session, encode
from emqx_mgmt.storage import DataDirError
from emqx_mgmt.storage.backup import STAGED_READY, stage
from emqx_mgmt.storage.messages import check
from emqx_mgmt.storage.messages.tables import MIGRATIONS, RECORDS
from router_ext.durable.journal import TABLES
from tests.broker_process import BrokerProcess
from tests.clients.raw import PUBACK, PUBLISH, PUBREC, PUBREL, connected
from tests.durable.contents import SETTLED, amounts_to, fill

Start = Callable[..., BrokerProcess]

TO_VERSION_2 = f"""
    UPDATE message SET body = plain(body);
    UPDATE place SET body = CASE WHEN length(body) > 4 THEN plain(body) END;
    {"".join(f"UPDATE {table} SET value = plain(value);" for table in TABLES)}
    ALTER TABLE folded DROP COLUMN seal;
    CREATE INDEX unused ON message (number) WHERE refs <= 0;
    PRAGMA user_version = 2;
"""
TO_VERSION_1 = f"""
    {MIGRATIONS[0].split(";")[0]};
    {MIGRATIONS[0].split(";")[1]};
    INSERT INTO message SELECT number, 1, body FROM place WHERE body IS NOT NULL;
    DROP INDEX unused;
    ALTER TABLE place DROP COLUMN body;
    INSERT INTO progress SELECT number, at FROM folded WHERE at;
    DROP TABLE folded;
    PRAGMA user_version = 1;
"""


def plain(sealed: bytes) -> bytes:
    """With the checksum of the data alone."""
    return sealed[:-4] + crc32(sealed[:-4]).to_bytes(4, "little")


def downgrade(data_dir: Path, version: int) -> None:
    """What that version would have written; the first had one file, with the journal in it."""
    journal = data_dir / "journal.db"
    with closing(sqlite3.connect(data_dir / "messages.db")) as rows, closing(sqlite3.connect(journal)) as commits:
        first = rows.execute("SELECT number FROM folded").fetchone()[0]
        for connection in rows, commits:
            connection.create_function("plain", 1, plain)
        commits.executescript("UPDATE journal SET data = plain(data); PRAGMA user_version = 1;")
        rows.executescript(TO_VERSION_2)
        if version == 1:
            rows.executescript(TO_VERSION_1)
            rows.executemany("INSERT INTO journal VALUES (?, ?)",
                             commits.execute("SELECT * FROM journal WHERE number >= ?", (first,)))
            assert rows.execute("SELECT count(*) FROM journal").fetchone()[0] > 0
            rows.commit()
    for file in data_dir.glob("journal.db*") if version == 1 else data_dir.glob("journal.db-last"):
        file.unlink()


def filled(broker: BrokerProcess, first: int, last: int) -> None:
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for number in range(first, last):
        publisher.send_publish("q", b"%d" % number, 1, number)
        publisher.expect(PUBACK)
    publisher.disconnect()


@pytest.mark.parametrize("version", [1, 2])
def test_older_version(start_broker: Start, version: int):
    """Rows that were settled and commits that were not are both there."""
    broker = start_broker()
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    filled(broker, 1, 20)
    assert broker.stop() == 0
    broker.start()
    filled(broker, 20, 40)
    broker.kill9()
    downgrade(broker.data_dir, version)
    broker.start()
    keeper = connected(broker.mqtt_port, "keeper")
    assert keeper.connack.present
    for number in range(1, 40):
        assert keeper.message().payload == b"%d" % number


@pytest.mark.parametrize("version", [1, 2])
def test_every_table_of_an_older_version(start_broker: Start, tmp_path: Path, version: int):
    broker = start_broker()
    fill(broker)
    broker.kill9()
    shutil.copytree(broker.data_dir, tmp_path / "whole", ignore=shutil.ignore_patterns("*.sock"))
    whole = amounts_to(tmp_path / "whole")
    downgrade(broker.data_dir, version)
    check(broker.data_dir, synced=True)
    assert amounts_to(broker.data_dir) == whole
    check(broker.data_dir, synced=True)


def test_store_written_by_version_2(start_broker: Start, tmp_path: Path):
    """`version2.zip` is a backup of `contents.fill` that the last broker of that version has made."""
    broker = start_broker()
    assert broker.stop() == 0
    with (Path(__file__).parent / "version2.zip").open("rb") as archive:
        stage(archive, broker.data_dir)
    left_just_now(broker.data_dir / STAGED_READY)
    broker.start()
    keeper = connected(broker.mqtt_port, "keeper")
    assert keeper.connack.present
    got: dict[str, list[int]] = {"shared": [], "own/keeper": []}
    while len(got["shared"]) < 2 * SETTLED:
        packet = keeper.expect(PUBLISH)
        keeper.ack(PUBACK if packet.qos == 1 else PUBREC, packet.pid)
        if packet.qos == 1:
            got[packet.topic].append(int(packet.payload.split()[0]))
    assert got == {"shared": list(range(1, 2 * SETTLED + 1)), "own/keeper": list(range(1, SETTLED + 1))}
    held = connected(broker.mqtt_port, "held", version=5, session_expiry=3600)
    assert (held.connack.present, held.expect(PUBREL).pid) == (True, 1)
    reader = connected(broker.mqtt_port, "reader", clean=True)
    reader.subscribe("retained", qos=1)
    assert reader.message().payload == b"kept"


def left_just_now(data_dir: Path) -> None:
    """Sessions of a store that was kept for long have not expired."""
    checksum = RECORDS["session"]
    with closing(sqlite3.connect(data_dir / "messages.db", isolation_level=None)) as rows:
        for sid, key, value in rows.execute("SELECT sid, key, value FROM session").fetchall():
            row = decode_session(checksum.strip(value, sid, key))
            if row.left_at is not None:
                row.left_at = time.time()
            rows.execute("UPDATE session SET value = ? WHERE sid = ? AND key = ?",
                         (checksum.append(encode(row), sid, key), sid, key))


def test_a_message_store_of_a_newer_version_is_left_alone(start_broker: Start):
    """The records: tests/server/test_credentials.py."""
    broker = start_broker()
    assert broker.stop() == 0
    for name in "messages.db", "journal.db":
        file = broker.data_dir / name
        with closing(sqlite3.connect(file)) as store:
            (before,) = store.execute("PRAGMA user_version").fetchone()
            store.execute("PRAGMA user_version = 999")
        content = file.read_bytes()
        with pytest.raises(DataDirError) as raised:
            check(broker.data_dir, synced=True)
        assert str(raised.value) == f"{file} was written by a newer version of the broker (schema 999)"
        assert (raised.value.code, file.read_bytes()) == (os.EX_CONFIG, content)
        with closing(sqlite3.connect(file)) as store:
            store.execute(f"PRAGMA user_version = {before}")
    check(broker.data_dir, synced=False)


def test_half_a_store(start_broker: Start):
    """A journal that is missing is damage: what is in it was acknowledged."""
    broker = start_broker()
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    broker.kill9()
    journal = broker.data_dir / "journal.db"
    aside = journal.rename(broker.data_dir / "aside")
    broker.launch()
    assert broker.wait() == os.EX_DATAERR
    assert "its journal journal.db is missing" in broker.stderr
    aside.rename(journal)
    broker.start()
    assert connected(broker.mqtt_port, "keeper").connack.present
