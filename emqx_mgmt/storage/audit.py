"""The audit record: the latest changes over REST and on the command line, and failed log-ins."""

from __future__ import annotations

import sqlite3
from collections import Counter
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING

import msgspec
from gevent.lock import BoundedSemaphore

from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


INSERT = ("INSERT INTO audit (at, who, kind, origin, action, method, path, params, status, result)"
          " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
FAILED_LOGIN = "log_in"
# Of the rows kept, failed log-ins may have one in so many: whoever guesses passwords must not push changes out.
SHARE = 10


# Who made changes: what the name is of, and the name.
Author = tuple[str, str]


class Change(msgspec.Struct, frozen=True):
    """`at` in unix seconds; `kind` says what `who` is; `origin` is an address or `local`; `params` is JSON without
    secrets; `status` is the HTTP status, `result` "ok" or the reason."""

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
    """Changes that arrive during a commit are written together with the next one."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._counts: Counter[Author] | None = None  # of the changes of each author; None until they are counted
        self._waiting: list[Change] = []
        self._writing = BoundedSemaphore()

    def add(self, change: Change, kept: int) -> None:
        """Adds a change; returns once it is on disk. At most `kept` changes stay. Beyond that, the oldest change of the
        author with the most changes is deleted, so that no author can push out the changes of others."""
        self._waiting.append(change)
        with self._writing:
            changes, self._waiting = self._waiting, []
            if changes:  # else the one before has written this one too
                counts, self._counts = self._counts, None
                self._counts = self._run(insert, changes, kept, counts)

    def all(self) -> list[Change]:
        """Newest first."""
        return self._run(select)


FAILURES = f"SELECT count(*) FROM audit WHERE action = '{FAILED_LOGIN}'"
COUNTS = f"SELECT kind, who, count(*) FROM audit WHERE action <> '{FAILED_LOGIN}' GROUP BY kind, who"
# All failed log-ins but so many of the latest.
TRIM = f"""
    DELETE FROM audit WHERE number IN (
        SELECT number FROM audit WHERE action = '{FAILED_LOGIN}' ORDER BY number LIMIT max(0, ({FAILURES}) - ?))
"""
# So many changes of an author, the oldest.
LEAVE = f"""
    DELETE FROM audit WHERE number IN (
        SELECT number FROM audit WHERE kind = ? AND who = ? AND action <> '{FAILED_LOGIN}' ORDER BY number LIMIT ?)
"""


def select(connection: sqlite3.Connection) -> list[Change]:
    """All entries, newest first."""
    rows = connection.execute("SELECT at, who, kind, origin, action, method, path, params, status, result"
                              " FROM audit ORDER BY number DESC")
    return [Change(*row) for row in rows]


def merge(connection: sqlite3.Connection, others: list[Change]) -> None:
    """Both records in the order of time, newest first; a change that both have comes once."""
    with transaction(connection):
        both = Counter(reversed(select(connection))) | Counter(reversed(others))
        changes = sorted(both.elements(), key=lambda change: change.at)
        connection.execute("DELETE FROM audit")
        connection.executemany(INSERT, [msgspec.structs.astuple(change) for change in changes])


def insert(
    connection: sqlite3.Connection, changes: list[Change], kept: int, counts: Counter[Author] | None
) -> Counter[Author]:
    """Writes changes. Returns how many each author has afterwards; `counts` has the numbers before, None where they are
    unknown."""
    with transaction(connection):
        if counts is None:
            counts = Counter({(kind, who): number for kind, who, number in connection.execute(COUNTS)})
        connection.executemany(INSERT, [msgspec.structs.astuple(change) for change in changes])
        connection.execute(TRIM, (max(kept // SHARE, 1),))
        counts = counts + Counter((one.kind, one.who) for one in changes if one.action != FAILED_LOGIN)
        failures: int = connection.execute(FAILURES).fetchone()[0]
        leaving = surplus(counts, max(kept - failures, 0))
        for author, number in leaving.items():
            connection.execute(LEAVE, (*author, number))
    return counts - leaving


def surplus(counts: Counter[Author], kept: int) -> Counter[Author]:
    """How many changes of each author are deleted, where each time an author with the most loses one."""
    largest = [(-number, author) for author, number in counts.items()]
    heapify(largest)
    leaving: Counter[Author] = Counter()
    for _ in range(counts.total() - kept):
        number, author = largest[0]
        heapreplace(largest, (number + 1, author))
        leaving[author] += 1
    return leaving
