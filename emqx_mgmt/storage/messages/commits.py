"""The journal on disk: one row for each commit, until the tables of the message store have all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from emqx_mgmt.storage import installation
from emqx_mgmt.storage.acknowledged import Acknowledged
from emqx_mgmt.storage.integrity import Damaged
from emqx_mgmt.storage.messages.tables import JOURNAL, JOURNAL_VERSION, make_private, version_of
from emqx_mgmt.storage.transaction import transaction

SYNCHRONOUS = {"fsync": "FULL", "async": "NORMAL"}
COPY_AFTER = 8 << 20    # bytes committed, after which SQLite's log is copied into the file,
BEGIN_ANEW = 256 << 20  # and of the log, after which it begins anew
WHOLE_PAGES = 16 << 10  # bytes of the log that a commit takes beside its own: pages that it shares with others
FORGET = 4              # commits that one commit forgets at most: all at once would take long

# As in tables.py. Each `data` ends with the checksum of its row, in version 1 with its own.
MIGRATIONS = [
    "CREATE TABLE IF NOT EXISTS journal (number INTEGER PRIMARY KEY, data BLOB NOT NULL);",
    "UPDATE journal SET data = seal_journal(substr(data, 1, length(data) - 4), number);",
]

# The latest stays: a journal that was ever used is not empty, so that tables that are cannot be taken for new ones.
FORGET_TO = "DELETE FROM journal WHERE number <= ? AND number < (SELECT max(number) FROM journal)"


class Commits:
    """The journal. The thread that commits is its only user; `LogCopier` is for the other thread."""

    def __init__(self, path: Path, durability: str) -> None:
        self._acknowledged = Acknowledged(path)
        self._acknowledged.forget()
        make_private(path)
        self._connection = connect(path)
        self._connection.executescript(f"PRAGMA synchronous = {SYNCHRONOUS[durability]};")
        migrate(self._connection)
        installation.adopt(self._connection, installation.read(path.parent))
        self._synced = durability == "fsync"
        self._next = 1
        self._forgotten = 0

    def rows(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The commits behind `after`, in order. Raises Damaged. The next commit gets the number behind the last."""
        self._next = after + 1
        self.forget(after)
        # Without syncs a power cut may have taken the last ones, though they are in the tables: no gap is to be left.
        self._connection.execute("DELETE FROM journal WHERE number < ?", (after,))
        rows = self._connection.execute("SELECT number, data FROM journal WHERE number > ? ORDER BY number", (after,))
        for number, data in rows:
            if number != self._next:
                raise Damaged(f"commit {self._next} is missing")
            self._next += 1
            yield number, JOURNAL.strip(data, number)

    def append(self, data: bytes, done: int) -> int:
        """Writes a commit; returns its number once it is on disk. Some of the commits up to `done` are deleted with it.
        Raises sqlite3.Error; it can be tried again."""
        forgotten = min(done, self._forgotten + FORGET)
        with transaction(self._connection):
            row = self._next, JOURNAL.append(data, self._next)
            self._connection.execute("INSERT INTO journal VALUES (?, ?)", row)
            self._delete(forgotten)
        self._forgotten = max(forgotten, self._forgotten)
        self._next += 1
        if self._synced:
            self._acknowledged.write(self._next - 1)
        return self._next - 1

    def forget(self, done: int) -> None:
        """Deletes all commits up to `done`. Raises sqlite3.Error; it can be tried again."""
        self._delete(done)
        self._forgotten = max(done, self._forgotten)

    def _delete(self, last: int) -> None:
        if last > self._forgotten:
            self._connection.execute(FORGET_TO, (last,))

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()
        self._acknowledged.close()


class LogCopier:
    """Copies SQLite's log into the file, beside the thread that commits, which never does."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._to_copy = 0
        self._length = 0

    def grew(self, n: int) -> None:
        """The log has grown by a commit of `n` bytes."""
        self._to_copy += n
        self._length += n + WHOLE_PAGES

    def look(self) -> None:
        """Copies a part of the log. A commit may have to wait only while the last part is copied, so that the log
        begins anew."""
        if self._to_copy > COPY_AFTER:
            self._to_copy = 0
            self._copy("PASSIVE")
        if self._length > BEGIN_ANEW:
            self._length = 0
            self._copy("PASSIVE")
            self._copy("RESTART")

    def shrink(self) -> None:
        """Truncates the log."""
        self._copy("TRUNCATE")
        self._to_copy = self._length = 0

    def _copy(self, how: str) -> None:
        self._connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """The journal in WAL mode; its log is copied only when told."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    connection.executescript("PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;"
                             "PRAGMA secure_delete = OFF;")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Creates the table or brings it to this version, in one transaction."""
    version = version_of(connection)
    if version < JOURNAL_VERSION:
        connection.create_function("seal_journal", 2, JOURNAL.append, deterministic=True)
        scripts = "".join(MIGRATIONS[version:])
        connection.executescript(f"BEGIN; {scripts} PRAGMA user_version = {JOURNAL_VERSION}; COMMIT;")
