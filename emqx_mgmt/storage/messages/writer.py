"""The writing end of the message store: commits of the journal, and their folding into rows."""

from __future__ import annotations

import sqlite3
import struct
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from emqx_mgmt.storage.messages.tables import connect, migrate, opened, sealed
from router_ext.fold import Fold
from router_ext.journal import TABLES

ROW = struct.Struct("<QQIHBBBI")
WAIT_PUBACK, WAIT_PUBREC, WAIT_PUBCOMP = 1, 2, 3
PAGE_BYTES = 262144

PLACE = "sid, entry, number, subid, qos, flags, pid, received"
ALL_OF = "SELECT entry, number FROM place WHERE sid = ?"
DROP_OLDEST = f"{ALL_OF} AND pid = 0 ORDER BY entry LIMIT ?"
ROWS_OF = ("SELECT entry, number, subid, qos, flags, pid, received, body FROM place LEFT JOIN message USING (number)"
           " WHERE sid = ? AND ")
IN_FLIGHT = f"{ROWS_OF} pid != 0 ORDER BY entry"
QUEUED = f"{ROWS_OF} pid = 0 AND entry > ? ORDER BY entry"


class Writer:
    """Commits first, folds later: what was acknowledged meanwhile never becomes a row."""

    def __init__(self, path: Path, durability: str) -> None:
        self.connection = connect(path, durability)
        migrate(self.connection)
        self._fold = Fold()
        self._unfolded: deque[tuple[int, bytes]] = deque()
        self._at = 0                        # how much of the first of them the fold has seen
        self._last = 0                      # the last commit
        self._began = time.monotonic()      # when the fold took in its first record
        self._recover()

    def _recover(self) -> None:
        """Folds what was committed and not folded when the last process ended."""
        begun = self.connection.execute("SELECT number, at FROM progress").fetchone()
        for number, data in self.connection.execute("SELECT number, data FROM journal ORDER BY number").fetchall():
            if begun is not None and begun[0] == number:
                self._at = begun[1]
            self._unfolded.append((number, opened(data, f"commit {number}")))
            self._last = number
            self.advance()
        self.settle()
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # -- commits ------------------------------------------------------------------------------------------------

    def commit(self, batches: list[bytes]) -> None:
        """One transaction for all that arrived meanwhile. Raises sqlite3.Error; it can be tried again."""
        data = b"".join(batches)
        self.connection.execute("INSERT INTO journal VALUES (?, ?)", (self._last + 1, sealed(data)))
        self._last += 1
        self._unfolded.append((self._last, data))

    def advance(self) -> None:
        """Folds what was committed. Raises sqlite3.Error; it can be tried again."""
        while self._unfolded:
            number, data = self._unfolded[0]
            if not self._fold.ended:
                if not len(self._fold):
                    self._began = time.monotonic()
                self._at = self._fold.feed(data, self._at)
            if self._fold.ended:
                self._end(self._fold.ended, number)
            else:
                self._unfolded.popleft()
                self._at = 0

    @property
    def rows(self) -> int:
        """How many rows wait to be written."""
        return len(self._fold)

    @property
    def age(self) -> float:
        """Seconds that the oldest of them has waited."""
        return time.monotonic() - self._began if len(self._fold) else 0.0

    # -- rows ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Writes what the fold has, and forgets the commits that it came from. Raises sqlite3.Error; it can be tried
        again."""
        self.advance()
        with transaction(self.connection):
            self._write(self._fold)
            self.connection.execute("DELETE FROM journal")
            self.connection.execute("DELETE FROM progress")
        self._fold.clear()

    def _write(self, fold: Fold) -> None:
        many = self.connection.executemany
        many("INSERT INTO message VALUES (?, ?, ?)",
             [(number, refs, sealed(fold.bodies[number])) for number, refs in fold.references.items()
              if number in fold.bodies])
        self._refer((refs, number) for number, refs in fold.references.items() if number not in fold.bodies)
        many(f"INSERT INTO place ({PLACE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
             [(place[0], entry, *place[1:]) for entry, place in fold.places.items()])
        many("UPDATE place SET pid = ? WHERE sid = ? AND entry = ?",
             [(pid, sid, entry) for entry, (pid, sid) in fold.sent.items()])
        many("UPDATE place SET received = 1, number = 0 WHERE sid = ? AND entry = ?",
             [(sid, entry) for entry, sid in fold.received.items()])
        many("DELETE FROM place WHERE sid = ? AND entry = ?", fold.removed)
        for sid, count in fold.dropped.items():
            self._remove(sid, self.connection.execute(DROP_OLDEST, (sid, count)).fetchall())
        self._write_facts(fold)

    def _write_facts(self, fold: Fold) -> None:
        for index, table in enumerate(TABLES):
            facts = [(key[1], key[2], value) for key, value in fold.facts.items() if key[0] == index]
            self.connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
                                        [(sid, key, sealed(value)) for sid, key, value in facts if value is not None])
            self.connection.executemany(f"DELETE FROM {table} WHERE sid = ? AND key = ?",
                                        [(sid, key) for sid, key, value in facts if value is None])

    def _refer(self, changes: Iterable[tuple[int, int]]) -> None:
        """Places won or lost by stored messages; those without any are deleted."""
        changes = list(changes)
        self.connection.executemany("UPDATE message SET refs = refs + ? WHERE number = ?", changes)
        self.connection.executemany("DELETE FROM message WHERE number = ? AND refs <= 0",
                                    [(number,) for change, number in changes if change < 0])

    def _remove(self, sid: int, places: list[tuple[int, int]]) -> None:
        self.connection.executemany("DELETE FROM place WHERE sid = ? AND entry = ?",
                                    [(sid, entry) for entry, _ in places])
        self._refer((-1, number) for _, number in places if number)

    def _end(self, sid: int, number: int) -> None:
        """A session with everything in it. What the fold has is written with it; `progress` says up to where, since the
        rest of that commit stays in the journal."""
        with transaction(self.connection):
            self._write(self._fold)
            self._remove(sid, self.connection.execute(ALL_OF, (sid,)).fetchall())
            for table in TABLES:
                self.connection.execute(f"DELETE FROM {table} WHERE sid = ?", (sid,))
            self.connection.execute("DELETE FROM journal WHERE number < ?", (number,))
            self.connection.execute("DELETE FROM progress")
            self.connection.execute("INSERT INTO progress VALUES (?, ?)", (number, self._at))
        self._fold.clear()

    # -- pages ----------------------------------------------------------------------------------------------------

    def page(self, sid: int, after: int, limit: int, in_flight: bool) -> bytes:
        """The next messages of a session as the engine reads them: those in flight if asked for, then the queue."""
        if sid in self._fold.sids:
            self.settle()
        rows = [as_row(row) for row in self.connection.execute(IN_FLIGHT, (sid,))] if in_flight else []
        size = 0
        for count, row in enumerate(self.connection.execute(QUEUED, (sid, after))):
            if count == limit or size > PAGE_BYTES:
                return b"".join([b"\0", *rows])
            rows.append(as_row(row))
            size += len(rows[-1])
        return b"".join([b"\1", *rows])

    def idle(self) -> None:
        """A moment without work: gives back pages that are not used any more."""
        self.connection.execute("PRAGMA incremental_vacuum(256)").fetchall()

    def close(self) -> None:
        self.settle()
        self.connection.close()


def as_row(row: tuple[int, int, int, int, int, int, int, bytes | None]) -> bytes:
    entry, number, subid, qos, flags, pid, received, body = row
    content = b"" if body is None else opened(body, f"message {number}")
    state = 0 if pid == 0 else WAIT_PUBCOMP if received else WAIT_PUBREC if qos == 2 else WAIT_PUBACK
    return ROW.pack(entry, number, subid, pid, qos, flags, state, len(content)) + content


class transaction:
    """BEGIN … COMMIT, or ROLLBACK when something is raised."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def frames(buffer: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Takes whole frames off the front: kind, flag, number, content."""
    at = 0
    while len(buffer) - at >= 16:
        length, kind, flag, number = struct.unpack_from("<IBBxxQ", buffer, at)
        if len(buffer) - at < 16 + length:
            break
        yield kind, flag, number, bytes(buffer[at + 16:at + 16 + length])
        at += 16 + length
    del buffer[:at]
