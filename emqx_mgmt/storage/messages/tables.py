"""The tables of the message store, their versions, and the check that a file is what was written."""

from __future__ import annotations

import os
import sqlite3
import zlib
from pathlib import Path

from emqx_mgmt.storage.data_dir import DataDirError

FILE_NAME = "messages.db"

# One script a version, never changed once released; `PRAGMA user_version` counts those that have run.
#
# `journal` has each commit as it came, until it is folded into the other tables; `progress` says how much of the first
# one is. Each `body`, `value` and `data` ends
# with its CRC-32. `place` is a message's place in a session: waiting when `pid` is 0, else in flight; `received` once
# PUBREC came. `refs` counts the places of a message.
MIGRATIONS = [
    """
    CREATE TABLE journal (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE progress (number INTEGER NOT NULL, at INTEGER NOT NULL);
    CREATE TABLE message (number INTEGER PRIMARY KEY, refs INTEGER NOT NULL, body BLOB NOT NULL);
    CREATE TABLE place (
        sid INTEGER NOT NULL, entry INTEGER NOT NULL, number INTEGER NOT NULL, subid INTEGER NOT NULL,
        qos INTEGER NOT NULL, flags INTEGER NOT NULL, pid INTEGER NOT NULL, received INTEGER NOT NULL,
        PRIMARY KEY (sid, entry)
    ) WITHOUT ROWID;
    CREATE TABLE session (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    CREATE TABLE subscription (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    CREATE TABLE awaiting (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    CREATE TABLE will (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    CREATE TABLE retained (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    CREATE TABLE delayed (sid INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (sid, key)) WITHOUT ROWID;
    """,
]
SYNCHRONOUS = {"fsync": "FULL", "async": "NORMAL"}


class Damaged(Exception):
    """The file is not what was written; the text says where."""


def sealed(data: bytes) -> bytes:
    """With its checksum behind it."""
    return data + zlib.crc32(data).to_bytes(4, "little")


def opened(data: bytes, what: str) -> bytes:
    """Without its checksum; raises Damaged when that is not right."""
    if len(data) < 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise Damaged(f"the checksum of {what} is wrong")
    return data[:-4]


def connect(path: Path, durability: str = "fsync") -> sqlite3.Connection:
    """For the store process, which is the only writer. What it makes is for the broker's eyes only."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=10)
    connection.executescript(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
        f"PRAGMA synchronous = {SYNCHRONOUS[durability]}; PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -65536;"
        "PRAGMA journal_size_limit = 67108864;")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)


def migrate(connection: sqlite3.Connection) -> None:
    """Creates the tables or brings them to this version, in one transaction."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version < len(MIGRATIONS):
        scripts = "".join(MIGRATIONS[version:])
        connection.executescript(f"BEGIN; {scripts} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")


def check(data_dir: Path) -> None:
    """Before anything is served. Raises DataDirError when the file is damaged or not ours; an absent one is right."""
    path = data_dir / FILE_NAME
    if not path.exists():
        return
    try:
        connection = connect_to_read(path)
        try:
            verify(connection)
        finally:
            connection.close()
    except (Damaged, sqlite3.Error) as error:
        raise DataDirError(
            f"The message store {path} is damaged: {error}. Nothing was changed. Restore it from a backup "
            "(emqx-mgmt data import), or move it away to start without sessions and messages.", os.EX_DATAERR) from None


def verify(connection: sqlite3.Connection) -> None:
    """Raises Damaged or sqlite3.Error at the first thing that is not as it was written."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise Damaged(f"it was written by a newer version of the broker (schema {version})")
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise Damaged(found)
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise Damaged("it is not a message store")
        return
    for number, data in connection.execute("SELECT number, data FROM journal"):
        opened(data, f"commit {number}")
    for number, body in connection.execute("SELECT number, body FROM message"):
        if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "little"):
            raise Damaged(f"the checksum of message {number} is wrong")
