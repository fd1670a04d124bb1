"""The tables of the message store, their versions, and the check that a file is what was written."""

from __future__ import annotations

import os
import sqlite3
import struct
from contextlib import closing, nullcontext
from pathlib import Path

from emqx_mgmt.storage import installation
from emqx_mgmt.storage.acknowledged import SUFFIX, Acknowledged
from emqx_mgmt.storage.data_dir import DataDirError
from emqx_mgmt.storage.integrity import Damaged, Newer, is_of_the_system, legible, quick_check, verify_header
from emqx_mgmt.storage.messages.row_checksums import RowChecksum, no_columns, record_key
from emqx_mgmt.storage.transaction import transaction
from emqx_mgmt.storage.wal import LogDamaged, verify_log
from router_ext.durable.journal import TABLES

FILE_NAME = "messages.db"
JOURNAL_NAME = "journal.db"

# One script a version, never changed once released; `PRAGMA user_version` counts those that have run.
#
# Each `body`, `value`, `seal` and `data` ends with the checksum of its row (before version 3: of itself alone). `place`
# is a message's place in a session: waiting when `pid` is 0, else in flight; `received` once PUBREC came. It has the
# body of a small message that has no other place; others are in `message`, whose `refs` counts their places. `folded`
# has one row: commits before `number` are in the tables (commits.py has the others), and of that one the first `at`
# bytes: 0, but where an earlier version has stopped.
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
    """
    DROP INDEX unused;
    ALTER TABLE folded ADD COLUMN seal BLOB;
    UPDATE folded SET seal = seal_folded(x'', number, at);
    UPDATE message SET body = seal_message(substr(body, 1, length(body) - 4), number, refs);
    UPDATE place SET body = seal_place(coalesce(substr(body, 1, length(body) - 4), x''),
                                       sid, entry, number, subid, qos, flags, pid, received);
    """ + "".join(f"UPDATE {table} SET value = seal_{table}(substr(value, 1, length(value) - 4), sid, key);"
                  for table in TABLES),
]
OWN_JOURNAL = 1     # the version that had it
JOURNAL_VERSION = 2

PLACE = "sid, entry, number, subid, qos, flags, pid, received"
JOURNAL = RowChecksum("journal", struct.Struct("<Q").pack)
MESSAGES = RowChecksum("message", struct.Struct("<Qi").pack)
PLACES = RowChecksum("place", struct.Struct("<QQQIBBHB").pack)
FOLDED = RowChecksum("folded", struct.Struct("<QQ").pack)
RECORDS = {table: RowChecksum(table, record_key) for table in TABLES}


def by_itself(table: str) -> RowChecksum:
    """The checksum before version 3: of the data alone."""
    return RowChecksum(table, no_columns, seed=0)


# By the version of the tables: each kind of checksum, and a select of the data with its checksum and the other columns.
OLD_RECORDS = [(by_itself(table), f"value FROM {table}") for table in TABLES]
CHECKED = {
    1: [(by_itself("journal"), "data FROM journal"), (by_itself("message"), "body FROM message"), *OLD_RECORDS],
    2: [(by_itself("message"), "body FROM message"),
        (by_itself("place"), "body FROM place WHERE body IS NOT NULL"), *OLD_RECORDS],
    3: [(FOLDED, "seal, number, at FROM folded"), (MESSAGES, "body, number, refs FROM message"),
        (PLACES, f"body, {PLACE} FROM place"),
        *((checksum, f"value, sid, key FROM {table}") for table, checksum in RECORDS.items())],
}
JOURNALS = {1: by_itself("journal"), JOURNAL_VERSION: JOURNAL}


def make_private(path: Path) -> None:
    """Files that are made from now on can be read by their owner only."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(path: Path) -> sqlite3.Connection:
    """The connection of the store process, which is the only writer. Syncs whatever `durability` says, since commits
    are deleted once they are in these tables."""
    make_private(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.executescript(
        "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA cache_size = -65536;"
        "PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = OFF;")
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)


def version_of(connection: sqlite3.Connection) -> int:
    """The schema of the database."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, journal: Path) -> None:
    """Creates the tables or brings them to this version, in one transaction."""
    version = version_of(connection)
    if version == OWN_JOURNAL:
        to_journal(connection, journal)
    if version < len(MIGRATIONS):
        for checksum in (FOLDED, MESSAGES, PLACES, *RECORDS.values()):
            connection.create_function(f"seal_{checksum.table}", -1, checksum.append, deterministic=True)
        scripts = "".join(MIGRATIONS[version:])
        connection.executescript(f"BEGIN; {scripts} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")


def to_journal(connection: sqlite3.Connection, journal: Path) -> None:
    """Copies the commits of the first version into their own file. Doing it twice does no harm."""
    copy = sqlite3.connect(journal, isolation_level=None)
    try:
        with transaction(copy):
            copy.executemany("INSERT OR REPLACE INTO journal VALUES (?, ?)", (
                (number, JOURNAL.append(data[:-4], number))
                for number, data in connection.execute("SELECT number, data FROM journal")))
    finally:
        copy.close()


def check(data_dir: Path, synced: bool) -> None:
    """Verifies the files before the broker starts. Raises DataDirError when one is damaged or belongs to another
    installation; missing files are right. `synced`: each commit of the journal was synced, so that a power cut cannot
    have taken one."""
    path, journal = data_dir / FILE_NAME, data_dir / JOURNAL_NAME
    try:
        verify_log(path)
        if synced:
            verify_log(journal)
        with legible():
            verify(path, journal, synced, installation.read(data_dir))
    except Newer as error:
        raise DataDirError(f"{data_dir}/{error}", os.EX_CONFIG) from None
    except (OSError, Damaged, LogDamaged, sqlite3.Error) as error:
        if is_of_the_system(error):
            raise DataDirError(f"Cannot use {path}: {error}", os.EX_OSERR) from None
        raise DataDirError(
            f"The message store {path} is damaged: {error}. Nothing was changed. Restore it from a backup "
            f"(emqx-mgmt data import), or move all files whose names begin with {FILE_NAME} or {JOURNAL_NAME} away to "
            "start without sessions and messages.",
            os.EX_DATAERR) from None


def verify(path: Path, journal: Path, synced: bool = False, number: int | None = None) -> None:
    """Raises Damaged or sqlite3.Error at the first fault, or where a file is not of the installation with that number.
    The journal is read first, since a running broker deletes commits once they are in the tables."""
    acknowledged = Acknowledged(journal).read() if synced else 0
    for file in filter(Path.exists, (path, journal)):
        verify_header(file)
    with closing(connect_to_read(journal)) if journal.exists() else nullcontext() as connection:
        first, last = (None, 0) if connection is None else verify_journal(connection, number)
    if acknowledged and not path.exists() and not journal.exists():
        raise Damaged(f"it and {journal.name} are missing, but {journal.name}{SUFFIX} is there")
    if journal.exists() and last < acknowledged:
        raise Damaged(f"commit {acknowledged} is missing in {journal.name}")
    if not path.exists():
        if first is not None:
            raise Damaged(f"it is missing, but {journal.name} is there")
        return
    with closing(connect_to_read(path)) as connection:
        version = verify_tables(connection, number)
        if version == 0 and first is not None:
            raise Damaged(f"it is empty, but {journal.name} is not")
        if version <= OWN_JOURNAL:
            return
        if not journal.exists() or is_empty(journal):
            raise Damaged(f"its journal {journal.name} is missing")
        folded = connection.execute("SELECT max(number) FROM folded").fetchone()[0]
        if first is not None and (folded is None or first > folded):
            raise Damaged(f"commit {folded} is missing in {journal.name}")
        if acknowledged and folded is not None and last < folded - 1:
            raise Damaged(f"commit {folded - 1} is missing in {journal.name}")


def is_empty(path: Path) -> bool:
    """Whether the database has no tables yet."""
    with closing(connect_to_read(path)) as connection:
        return version_of(connection) == 0


def verify_journal(connection: sqlite3.Connection, number: int | None) -> tuple[int | None, int]:
    """The numbers of the first and the last commit; None and 0 where there are none."""
    quick_check(connection)
    installation.check(connection, number)
    version = version_of(connection)
    if version == 0:
        return None, 0
    if version not in JOURNALS:
        raise Newer(JOURNAL_NAME, version)
    first, last = None, 0
    for commit, data in connection.execute("SELECT number, data FROM journal ORDER BY number"):
        JOURNALS[version].strip(data, commit)
        if first is None:
            first = commit
        elif commit != last + 1:
            raise Damaged(f"commit {last + 1} is missing")
        last = commit
    return first, last


def verify_tables(connection: sqlite3.Connection, number: int | None) -> int:
    """The version of the tables; 0 where there are none."""
    version = version_of(connection)
    if version and version not in CHECKED:
        raise Newer(FILE_NAME, version)
    quick_check(connection)
    installation.check(connection, number)
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise Damaged("it is not a message store")
        return 0
    for checksum, rows in CHECKED[version]:
        checksum.verify(connection.execute(f"SELECT {rows}"))
    return version
