"""The table of bans on disk, and its copy in memory."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

from emqx_mgmt.broker.auth.banned import Ban, BanKey, Banned
from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


class Bans:
    """The table of bans, in memory and on disk."""

    def __init__(self, run: Run) -> None:
        self._run = run
        # The table in memory follows the one on disk in the order of the writes.
        self._writing = BoundedSemaphore()
        self.table = Banned()

    def load(self) -> None:
        """Reads all into memory; called once the store is open."""
        for row in self._run(select):
            self.table.put(Ban(row["kind"], row["who"], row["reason"], row["author"], row["desc"], row["until"]))

    def put(self, ban: Ban) -> None:
        """Adds a ban, or replaces the one with its key. Raises StoreUnusable."""
        with self._writing:
            self._run(replace, ban)
            self.table.put(ban)

    def remove(self, key: BanKey) -> None:
        """Nothing happens when there is none. Raises StoreUnusable."""
        with self._writing:
            self._run(delete, key)
            self.table.remove(key)

    def remove_all(self, keys: list[BanKey]) -> None:
        """All of them or, where the store cannot be used, none."""
        with self._writing:
            self._run(delete_all, keys)
            for key in keys:
                self.table.remove(key)

    def sweep(self, now: float) -> None:
        """Deletes bans that expired before `now`, unix seconds."""
        with self._writing:
            if keys := self.table.expired(now):
                self._run(delete_expired, now)
                for key in keys:
                    self.table.remove(key)


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows, oldest first."""
    return connection.execute("SELECT * FROM ban ORDER BY rowid").fetchall()


def replace(connection: sqlite3.Connection, ban: Ban) -> None:
    """Adds the row, or changes the one with its key."""
    connection.execute(
        "INSERT INTO ban (kind, who, reason, author, desc, until) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (kind, who) DO UPDATE SET"
        " reason = excluded.reason, author = excluded.author, desc = excluded.desc, until = excluded.until",
        msgspec.structs.astuple(ban),
    )


def delete(connection: sqlite3.Connection, key: BanKey) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM ban WHERE kind = ? AND who = ?", key)


def delete_all(connection: sqlite3.Connection, keys: list[BanKey]) -> None:
    with transaction(connection):
        connection.executemany("DELETE FROM ban WHERE kind = ? AND who = ?", keys)


def delete_expired(connection: sqlite3.Connection, now: float) -> None:
    """Removes bans that are over at `now`, unix seconds."""
    connection.execute("DELETE FROM ban WHERE until < ?", (now,))
