"""The record store: SQLite on a thread of its own, so that a slow disk does not block the event loop."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from gevent.threadpool import ThreadPool

from emqx_mgmt.storage import checksums, installation
from emqx_mgmt.storage.acknowledged import Acknowledged
from emqx_mgmt.storage.alarm_history import AlarmHistory
from emqx_mgmt.storage.applications import Applications
from emqx_mgmt.storage.audit import Audit
from emqx_mgmt.storage.bans import Bans
from emqx_mgmt.storage.config_changes import ConfigChanges
from emqx_mgmt.storage.data_dir import open_lock
from emqx_mgmt.storage.integrity import OF_THE_SYSTEM, code_of
from emqx_mgmt.storage.logins import BrowserLogins
from emqx_mgmt.storage.metered_topics import MeteredTopics
from emqx_mgmt.storage.plugin_records import PluginRecords
from emqx_mgmt.storage.rate_history import RateHistory
from emqx_mgmt.storage.schema import FILE_NAME, connect, migrate
from emqx_mgmt.storage.scram_users import ScramUsers
from emqx_mgmt.storage.users import Users

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

LOCK_NAME = "management.lock"

# Errors of the disk, the file and its locks; others are mistakes of ours, or of a plugin's.
UNUSABLE = OF_THE_SYSTEM | {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class StoreUnusable(sqlite3.DatabaseError):
    """Disk or file prevented the change; nothing was changed. The text says which file and why."""


class Store:
    """Opened in the worker. Every method may switch greenlets, so none may be called from a socket callback."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._acknowledged = Acknowledged(data_dir / FILE_NAME)
        self._schema = self._changes = 0
        self._pool: ThreadPool | None = None
        self._connection: sqlite3.Connection | None = None
        self._lock = -1
        self.installation = 0  # its number, once the store is open
        self.applications = Applications(self.run)
        self.logins = BrowserLogins(self.run)
        self.users = Users(self.run, self.logins)
        self.audit = Audit(self.run)
        self.bans = Bans(self.run)
        self.alarm_history = AlarmHistory(self.run)
        self.config_changes = ConfigChanges(self.run)
        self.plugins = PluginRecords(self.run)
        self.scram_users = ScramUsers(self.run)
        self.rate_history = RateHistory(self.run)
        self.metered_topics = MeteredTopics(self.run)

    def open(self) -> None:
        """Migrates the file and reads the records."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held for as long as the records are open, by any number of workers: nobody may replace them meanwhile.
        self._lock = open_lock(self._data_dir / LOCK_NAME)
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        migrate(self._data_dir)
        self._connection = connect(self._data_dir)
        self._schema = schema_version(self._connection)
        self.installation = installation.number_in(self._connection)
        # One thread: SQLite has one writer, and the records are small.
        self._pool = ThreadPool(1)
        self.applications.load()
        self.users.load()
        self.logins.load()
        self.bans.load()
        self.scram_users.load()
        log.debug("Record store opened: %s, schema %d", self._data_dir / FILE_NAME, self._schema)

    def close(self) -> None:
        """Writes what was collected; nothing may be asked of the store after it."""
        if self._pool is not None:
            self.rate_history.close()
            self.users.close()
            self._pool.join()
            self._pool.kill()
        if self._connection is not None:
            self._connection.close()
            self._acknowledged.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._pool = self._connection = None
        self._lock = -1

    def run(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Calls `work(connection, ...)` on the store's thread, and switches greenlets until it returns. Raises what
        `work` raises, and StoreUnusable."""
        assert self._pool is not None, "the store is not open"
        result, error = self._pool.apply(self._outcome, (work, self._connection, *args), kwargs)
        if error is None:
            return result
        if isinstance(error, sqlite3.Error) and code_of(error) in UNUSABLE:
            path = self._data_dir / FILE_NAME
            raise StoreUnusable(f"The record store {path} cannot be used: {error}") from error
        raise error

    def _outcome(
        self, work: Callable[..., T], connection: sqlite3.Connection, *args: Any, **kwargs: Any
    ) -> tuple[T | None, Exception | None]:
        """Result and exception: gevent prints exceptions on threads of its pools, also those that the caller expects.
        An open transaction is rolled back, since later changes would be confirmed in it and never stored."""
        try:
            result = work(connection, *args, **kwargs)
            if connection.in_transaction:
                raise sqlite3.ProgrammingError("a transaction was begun and not ended")
            self._after_commit(connection)
            return result, None
        except Exception as error:
            return None, error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _after_commit(self, connection: sqlite3.Connection) -> None:
        if schema_version(connection) != self._schema:  # by a plugin
            checksums.run_script(connection, "")
            self._schema = schema_version(connection)
        if connection.total_changes != self._changes:
            self._changes = connection.total_changes
            self._acknowledged.write(checksums.changes(connection))


def schema_version(connection: sqlite3.Connection) -> int:
    """Changes with each change of the tables."""
    return int(connection.execute("PRAGMA schema_version").fetchone()[0])
