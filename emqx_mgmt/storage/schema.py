"""The tables of the management records, and how a file of an older version is brought up to this one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from emqx_mgmt.storage.data_dir import DataDirError
from emqx_mgmt.storage.integrity import legible, quick_check
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
]


def connect(data_dir: Path) -> sqlite3.Connection:
    """A connection in WAL mode that commits each statement unless told to BEGIN."""
    connection = sqlite3.connect(data_dir / FILE_NAME, isolation_level=None, check_same_thread=False, timeout=10)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def migrate(data_dir: Path) -> None:
    """Creates the file or brings it to this version, in one transaction. Raises DataDirError."""
    path = data_dir / FILE_NAME
    try:
        verify_log(path)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with legible(), closing(connect(data_dir)) as connection:
            run_migrations(connection, path)
    except (OSError, sqlite3.OperationalError) as error:
        raise DataDirError(f"Cannot use {path}: {error}", os.EX_OSERR) from None
    except (LogDamaged, sqlite3.DatabaseError) as error:
        raise DataDirError(f"The record store {path} is damaged: {error}. Nothing was changed. Restore it from a "
                           "backup (emqx-mgmt data import).", os.EX_DATAERR) from None


def run_migrations(connection: sqlite3.Connection, path: Path) -> None:
    quick_check(connection)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise DataDirError(f"{path} was written by a newer version of the broker (schema {version})", os.EX_CONFIG)
    if version < len(MIGRATIONS):
        scripts = "".join(MIGRATIONS[version:])
        connection.executescript(f"BEGIN; {scripts} PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")
