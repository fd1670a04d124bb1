"""The audit record: every change made over REST or on the command line, and log-ins that failed, the latest of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.store import Store


INSERT = ("INSERT INTO audit (at, who, kind, origin, action, method, path, params, status, result)"
          " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
FAILED_LOGIN = "log_in"
# Of the rows kept, failed log-ins may have one in so many: whoever guesses passwords must not push changes out.
SHARE = 10


class Change(msgspec.Struct, frozen=True):
    """`at` is unix seconds, `kind` what `who` is a name of, `origin` an address or `local`, `params` JSON without
    secrets; `status` the HTTP status and `result` "ok" or why not."""

    at: int
    who: str
    kind: str
    origin: str
    action: str
    method: str
    path: str
    params: str
    status: int
    result: str


class Audit:
    """Changes that come during a commit are written together with the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Change] = []
        self._writing = BoundedSemaphore()

    def add(self, change: Change, kept: int) -> None:
        """Returns when it is on disk. The oldest go, so that no more than `kept` stay."""
        self._waiting.append(change)
        with self._writing:
            changes, self._waiting = self._waiting, []
            if changes:  # else the one before has written this one too
                self._store.run(insert, changes, kept)

    def all(self) -> list[Change]:
        """Newest first."""
        return self._store.run(select)


# All but so many of the latest.
TRIM = """
    DELETE FROM audit WHERE number IN (
        SELECT number FROM audit {where} ORDER BY number LIMIT max(0, (SELECT count(*) FROM audit {where}) - ?))
"""


def select(connection: sqlite3.Connection) -> list[Change]:
    rows = connection.execute("SELECT at, who, kind, origin, action, method, path, params, status, result"
                              " FROM audit ORDER BY number DESC")
    return [Change(*row) for row in rows]


def merge(connection: sqlite3.Connection, others: list[Change]) -> None:
    """With a record of elsewhere, newest first, in the order of time; what both have comes once."""
    with transaction(connection):
        both = Counter(reversed(select(connection))) | Counter(reversed(others))
        changes = sorted(both.elements(), key=lambda change: change.at)
        connection.execute("DELETE FROM audit")
        connection.executemany(INSERT, [msgspec.structs.astuple(change) for change in changes])


def insert(connection: sqlite3.Connection, changes: list[Change], kept: int) -> None:
    with transaction(connection):
        connection.executemany(INSERT, [msgspec.structs.astuple(change) for change in changes])
        connection.execute(TRIM.format(where=f"WHERE action = '{FAILED_LOGIN}'"), (max(kept // SHARE, 1),))
        connection.execute(TRIM.format(where=""), (kept,))
