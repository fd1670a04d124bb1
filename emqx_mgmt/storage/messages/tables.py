"""The tables of the message store, their versions, and the check that a file is what was written."""

from __future__ import annotations

import os
import sqlite3
import zlib
from contextlib import closing, nullcontext
from pathlib import Path

from emqx_mgmt.storage.data_dir import DataDirError
from emqx_mgmt.storage.transaction import transaction

FILE_NAME = "messages.db"
JOURNAL_NAME = "journal.db"

# One script a version, never changed once released; `PRAGMA user_version` counts those that have run.
#
# Each `body`, `value` and `data` ends with its CRC-32. `place` is a message's place in a session: waiting when `pid` is
# 0, else in flight; `received` once PUBREC came. It has the body of a small message that has no other place; others are
# in `message`, whose `refs` counts their places. `folded` has one row: commits before `number` are in the tables
# (commits.py has the others), and of that one the first `at` bytes: 0, but where an earlier version has stopped.
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
    # `journal` was in this file: see `to_journal`.
    """
    CREATE TABLE folded (number INTEGER NOT NULL, at INTEGER NOT NULL);
    INSERT INTO folded SELECT number, at FROM progress;
    INSERT INTO folded SELECT coalesce(min(number), 1), 0 FROM journal WHERE NOT EXISTS (SELECT * FROM folded);
    DROP TABLE journal;
    DROP TABLE progress;
    ALTER TABLE place ADD COLUMN body BLOB;
    CREATE INDEX unused ON message (number) WHERE refs <= 0;
    """,
]
OWN_JOURNAL = 1     # the version that had it
# What has a checksum that nothing else would look at before a client needs it.
CHECKED = {1: [("journal", "data"), ("message", "body")],
           2: [("message", "body"), ("place", "body")]}


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


def make_private(path: Path) -> None:
    """What the store makes is for the broker's eyes only."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(path: Path) -> sqlite3.Connection:
    """For the store process, which is the only writer. What the journal forgets is on disk here, so that it is synced
    whatever `durability` says."""
    make_private(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.executescript(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -65536;"
        "PRAGMA journal_size_limit = 67108864;")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)


def version_of(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, journal: Path) -> None:
    """Creates the tables or brings them to this version, in one transaction."""
    version = version_of(connection)
    if version == OWN_JOURNAL:
        to_journal(connection, journal)
    if version < len(MIGRATIONS):
        scripts = "".join(MIGRATIONS[version:])
        connection.executescript(f"BEGIN; {scripts} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")


def to_journal(connection: sqlite3.Connection, journal: Path) -> None:
    """Copies the commits of the first version to the file that has them now. Doing it twice does no harm."""
    copy = sqlite3.connect(journal, isolation_level=None)
    try:
        with transaction(copy):
            copy.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?)",
                             connection.execute("SELECT number, data FROM journal"))
    finally:
        copy.close()


def check(data_dir: Path) -> None:
    """Before anything is served. Raises DataDirError when a file is damaged or not ours; absent ones are right."""
    path, journal = data_dir / FILE_NAME, data_dir / JOURNAL_NAME
    if not path.exists() and not journal.exists():
        return
    try:
        verify(path, journal)
    except (Damaged, sqlite3.Error) as error:
        raise DataDirError(
            f"The message store {path} is damaged: {error}. Nothing was changed. Restore it from a backup "
            f"(emqx-mgmt data import), or move it and {JOURNAL_NAME} away to start without sessions and messages.",
            os.EX_DATAERR) from None


def verify(path: Path, journal: Path) -> None:
    """Raises Damaged or sqlite3.Error at the first thing that is not as it was written. The journal is read first: a
    broker that runs meanwhile (whose successor asks) forgets commits after they are in the tables."""
    with closing(connect_to_read(journal)) if journal.exists() else nullcontext() as connection:
        first = None if connection is None else verify_journal(connection)
    if not path.exists():
        if first is not None:
            raise Damaged(f"it is missing, but {journal.name} is there")
        return
    with closing(connect_to_read(path)) as connection:
        version = verify_tables(connection)
        if version == 0 and first is not None:
            raise Damaged(f"it is empty, but {journal.name} is not")
        if version <= OWN_JOURNAL:
            return
        if not journal.exists() or is_empty(journal):
            raise Damaged(f"its journal {journal.name} is missing")
        number, _ = connection.execute("SELECT number, at FROM folded").fetchone()
        if first is not None and first > number:
            raise Damaged(f"commit {number} is missing in {journal.name}")


def is_empty(path: Path) -> bool:
    with closing(connect_to_read(path)) as connection:
        return version_of(connection) == 0


def verify_journal(connection: sqlite3.Connection) -> int | None:
    """The number of its first commit."""
    quick_check(connection)
    if version_of(connection) == 0:
        return None
    numbers: list[int] = []
    for number, data in connection.execute("SELECT number, data FROM journal ORDER BY number"):
        opened(data, f"commit {number}")
        if numbers and number != numbers[-1] + 1:
            raise Damaged(f"commit {numbers[-1] + 1} is missing")
        numbers.append(number)
    return numbers[0] if numbers else None


def verify_tables(connection: sqlite3.Connection) -> int:
    """The version of the tables; 0: there are none yet."""
    version = version_of(connection)
    if version > len(MIGRATIONS):
        raise Damaged(f"it was written by a newer version of the broker (schema {version})")
    quick_check(connection)
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise Damaged("it is not a message store")
        return 0
    for table, column in CHECKED[version]:
        for number, body in connection.execute(f"SELECT number, {column} FROM {table} WHERE {column} IS NOT NULL"):
            opened(body, f"message {number}")
    return version


def quick_check(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise Damaged(found)
