"""The tables of the management records, and their migration from older versions."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from emqx_mgmt.storage import checksums, installation
from emqx_mgmt.storage.acknowledged import Acknowledged
from emqx_mgmt.storage.data_dir import DataDirError
from emqx_mgmt.storage.integrity import Damaged, is_of_the_system, legible, quick_check, verify_header
from emqx_mgmt.storage.wal import LogDamaged, verify_log

FILE_NAME = "management.db"

# One script a version, never changed once released; `PRAGMA user_version` counts those that have run.
MIGRATIONS = [
    """
    CREATE TABLE secret_key (key BLOB NOT NULL);
    INSERT INTO secret_key VALUES (randomblob(32));
    CREATE TABLE application (
        app_id  TEXT PRIMARY KEY,
        digest  BLOB NOT NULL,
        name    TEXT NOT NULL,
        desc    TEXT NOT NULL,
        status  INTEGER NOT NULL,
        expired INTEGER
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE application ADD COLUMN style TEXT;
    ALTER TABLE application ADD COLUMN names TEXT;
    CREATE TABLE user (
        username TEXT PRIMARY KEY,
        hash     TEXT NOT NULL,
        tags     TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE ban (
        kind   TEXT NOT NULL,
        who    TEXT NOT NULL,
        reason TEXT,
        author TEXT,
        desc   TEXT,
        until  INTEGER,
        PRIMARY KEY (kind, who)
    );
    CREATE TABLE config_change (
        key   TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE alarm_history (
        alarm_id   TEXT NOT NULL,
        severity   TEXT NOT NULL,
        title      TEXT NOT NULL,
        summary    TEXT NOT NULL,
        raised_at  INTEGER NOT NULL,
        cleared_at INTEGER NOT NULL
    );
    """,
    """
    CREATE TABLE plugin_change (
        name   TEXT PRIMARY KEY,
        loaded INTEGER NOT NULL
    );
    CREATE TABLE plugin_setting (
        plugin TEXT NOT NULL,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL,
        PRIMARY KEY (plugin, key)
    ) WITHOUT ROWID;
    CREATE TABLE plugin_whole_set (plugin TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE plugin_tables (
        plugin  TEXT PRIMARY KEY,
        version INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE scram_user (
        username     TEXT PRIMARY KEY,
        is_superuser INTEGER NOT NULL,
        salt         BLOB NOT NULL,
        iterations   INTEGER NOT NULL,
        stored_key   BLOB NOT NULL,
        server_key   BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE rate (
        period         INTEGER NOT NULL,
        ts             INTEGER NOT NULL,
        received       REAL NOT NULL,
        sent           REAL NOT NULL,
        dropped        REAL NOT NULL,
        unrouted       REAL NOT NULL,
        received_bytes REAL NOT NULL,
        sent_bytes     REAL NOT NULL,
        connects       REAL NOT NULL,
        connections    INTEGER NOT NULL,
        subscriptions  INTEGER NOT NULL,
        PRIMARY KEY (period, ts)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE application ADD COLUMN role TEXT NOT NULL DEFAULT 'administrator';
    ALTER TABLE application ADD COLUMN scopes TEXT;
    ALTER TABLE application ADD COLUMN former_digest BLOB;
    ALTER TABLE application ADD COLUMN former_until INTEGER;
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        at     INTEGER NOT NULL,
        who    TEXT NOT NULL,
        kind   TEXT NOT NULL,
        origin TEXT NOT NULL,
        action TEXT NOT NULL,
        method TEXT NOT NULL,
        path   TEXT NOT NULL,
        params TEXT NOT NULL,
        status INTEGER NOT NULL,
        result TEXT NOT NULL
    );
    """,
    "CREATE TABLE metered_topic (topic TEXT NOT NULL UNIQUE);",
    """
    CREATE TABLE checksum (name TEXT PRIMARY KEY, sum INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE change_count (number INTEGER NOT NULL);
    INSERT INTO change_count VALUES (0);
    """,
    """
    ALTER TABLE user ADD COLUMN role TEXT NOT NULL DEFAULT 'administrator';
    CREATE INDEX failed_login ON audit (number) WHERE action = 'log_in';
    """,
    """
    CREATE TABLE login (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        digest   BLOB NOT NULL UNIQUE,
        username TEXT NOT NULL,
        since    INTEGER NOT NULL,
        seen     INTEGER NOT NULL,
        address  TEXT NOT NULL,
        browser  TEXT NOT NULL
    );
    """,
]
SEALED = 8      # the version from which on the tables have checksums
# What a broker makes only after its records.
OF_AN_INSTALLATION = ("messages.db", "journal.db")


def connect(data_dir: Path) -> sqlite3.Connection:
    """A connection in WAL mode that commits each statement, unless BEGIN was given."""
    connection = sqlite3.connect(data_dir / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    checksums.install(connection)
    return connection


def connect_to_read(data_dir: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    path = data_dir / FILE_NAME
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)


def migrate(data_dir: Path) -> None:
    """Verifies the file, then creates or migrates its tables in one transaction. Raises DataDirError."""
    path = data_dir / FILE_NAME
    try:
        number = installation.read(data_dir)
        verify(data_dir, number)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        with legible(), closing(connect(data_dir)) as connection:
            bring_to_this_version(connection)
            number = number or installation.number_in(connection) or installation.new_number()
            installation.adopt(connection, number)
        if installation.read(data_dir) is None:
            installation.write(data_dir, number)
    except (OSError, Damaged, LogDamaged, sqlite3.Error) as error:
        if is_of_the_system(error):
            raise DataDirError(f"Cannot use {path}: {error}", os.EX_OSERR) from None
        raise DataDirError(f"The record store {path} is damaged: {error}. Nothing was changed. Restore it from a "
                           "backup (emqx-mgmt data import).", os.EX_DATAERR) from None


def verify(data_dir: Path, number: int | None) -> None:
    """Reads the whole file, and changes nothing. `number` is the installation's, None: it has none yet. Raises Damaged,
    LogDamaged, sqlite3.Error, and DataDirError for a newer version."""
    path = data_dir / FILE_NAME
    acknowledged = Acknowledged(path).read()    # first: a broker that runs meanwhile goes on
    if not path.exists() or path.stat().st_size == 0:
        refuse_when_lost(data_dir, number, acknowledged)
        return
    verify_log(path)
    verify_header(path)
    with legible(), closing(connect_to_read(data_dir)) as connection:
        connection.execute("BEGIN")
        version = version_of(connection)
        if version > len(MIGRATIONS):
            raise DataDirError(f"{path} was written by a newer version of the broker (schema {version})", os.EX_CONFIG)
        quick_check(connection)
        installation.check(connection, number)
        if version == 0:
            refuse_when_lost(data_dir, number, acknowledged)
        verify_tables(connection, version)
        if version >= SEALED and checksums.changes(connection) < acknowledged:
            raise Damaged(f"change {acknowledged} is missing in it or in its log {FILE_NAME}-wal")


def refuse_when_lost(data_dir: Path, number: int | None, acknowledged: int) -> None:
    """Raises Damaged where other files show that there were records."""
    log = data_dir / f"{FILE_NAME}-wal"
    others = [name for name in OF_AN_INSTALLATION if (data_dir / name).exists()]
    if number is not None or acknowledged or others or (log.exists() and log.stat().st_size):
        raise Damaged("it is missing or empty, and this is not the first start: "
                      f"{', '.join(others) or installation.FILE_NAME} is there")


def verify_tables(connection: sqlite3.Connection, version: int) -> None:
    """Raises Damaged where a checksum differs, or tables are not those of the version."""
    if version == 0:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise Damaged("it is no record store")
        return
    if version >= SEALED:
        checksums.verify(connection)
    there = columns(connection)
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript("".join(MIGRATIONS[:version]))
        for table, expected in columns(new).items():
            if there.get(table) != expected:
                raise Damaged(f"the table {table} is not that of schema {version}")
    if connection.execute("SELECT count(*) FROM secret_key").fetchone()[0] != 1:
        raise Damaged("the table secret_key has not one row")


def columns(connection: sqlite3.Connection) -> dict[str, list[tuple[str, ...]]]:
    """Name, type, NOT NULL and primary key of each column, by table."""
    return {table: connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)).fetchall()
            for table in (*checksums.tables(connection), *checksums.OWN)}


def version_of(connection: sqlite3.Connection) -> int:
    """The number of migrations that were run."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def bring_to_this_version(connection: sqlite3.Connection) -> None:
    """Runs the migrations that are missing."""
    version = version_of(connection)
    if version < len(MIGRATIONS):
        scripts = "".join(MIGRATIONS[version:])
        checksums.run_script(connection, f"{scripts} PRAGMA user_version = {len(MIGRATIONS)};")
