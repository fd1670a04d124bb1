"""The rows of the message store, made from the commits of the journal."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emqx_mgmt.storage import installation
from emqx_mgmt.storage.messages.tables import FOLDED, MESSAGES, PLACE, PLACES, RECORDS, connect, migrate
from emqx_mgmt.storage.transaction import transaction
from router_ext.durable.compaction import Compactor
from router_ext.durable.journal import TABLES

ROW = struct.Struct("<QQIHBBBI")
WAIT_PUBACK, WAIT_PUBREC, WAIT_PUBCOMP = 1, 2, 3
PAGE_BYTES = 262144
SMALL = 1024            # bytes of a body that may stand in the row of its place
SLICE = 32768           # bytes that are folded without a look at who else would run
RECOVERED_ROWS = 200_000    # at the start they are written when so many wait

Row = tuple[Any, ...]   # a place, its sealed body, and where that is elsewhere, the message's `refs` and sealed body

THE_PLACE = f"SELECT {PLACE}, body FROM place WHERE sid = ? AND entry = ?"
ALL_OF = "SELECT entry, number FROM place WHERE sid = ?"
DROP_OLDEST = f"{ALL_OF} AND pid = 0 ORDER BY entry LIMIT ?"
ROWS_OF = (f"SELECT {PLACE}, place.body, refs, message.body"
           " FROM place LEFT JOIN message USING (number) WHERE sid = ? AND ")
IN_FLIGHT = f"{ROWS_OF} pid != 0 ORDER BY entry"
QUEUED = f"{ROWS_OF} pid = 0 AND entry > ? ORDER BY entry"


class Writer:
    """Compacts commits, and writes rows later: a message that is acknowledged before that never becomes a row."""

    def __init__(self, path: Path, journal: Path) -> None:
        self.connection = connect(path)
        migrate(self.connection, journal)
        installation.adopt(self.connection, installation.read(path.parent))
        self._fold = Compactor()
        number, self._at = self.connection.execute("SELECT number, at FROM folded").fetchone()
        self.done = number - 1              # the last commit that is in the rows
        self._folded = self.done            # the last one that the fold has seen
        self._began = 0.0                   # when it saw the first of those behind `done`

    def recover(self, commits: Iterator[tuple[int, bytes]]) -> None:
        """Compacts the commits that had no rows when the last process ended."""
        for number, data in commits:
            self.take(number, data[self._at:])
            self._at = 0
            if self.rows > RECOVERED_ROWS:
                self.settle()
        self.settle()

    # -- commits ------------------------------------------------------------------------------------------------

    def take(self, number: int, data: bytes) -> None:
        """Compacts a commit."""
        if self._folded == self.done:
            self._began = time.monotonic()
        at = 0
        while at < len(data):
            at = self._fold.feed(data, at, SLICE)
        self._folded = number

    @property
    def rows(self) -> int:
        """The number of rows that wait to be written."""
        return len(self._fold)

    @property
    def age(self) -> float:
        """For how many seconds commits have waited to become rows; 0: none wait."""
        return time.monotonic() - self._began if self._folded > self.done else 0.0

    # -- rows ---------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Writes the rows. Raises sqlite3.Error; it can be tried again."""
        if self._folded > self.done:
            next_one = self._folded + 1
            with transaction(self.connection):
                self._write(self._fold)
                self.connection.execute("UPDATE folded SET number = ?, at = 0, seal = ?",
                                        (next_one, FOLDED.append(b"", next_one, 0)))
            self._fold.clear()
            self.done = self._folded

    def _write(self, fold: Compactor) -> None:
        many, bodies = self.connection.executemany, fold.bodies
        places = sorted((place[0], entry, *place[1:]) for entry, place in fold.places.items())
        self._share({place[2] for place in places if place[2] and place[2] not in bodies})
        alone = {number for number, refs in fold.references.items()
                 if refs == 1 and number in bodies and len(bodies[number]) <= SMALL}
        many("INSERT INTO message VALUES (?, ?, ?)",
             [(number, refs, MESSAGES.append(bodies[number], number, refs)) for number, refs in fold.references.items()
              if number in bodies and number not in alone])
        self._refer({number: refs for number, refs in fold.references.items() if number not in bodies})
        many(f"INSERT INTO place ({PLACE}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
             [(*place, PLACES.append(bodies[place[2]] if place[2] in alone else b"", *place)) for place in places])
        for entry, (pid, sid) in fold.sent.items():
            self._change(sid, entry, pid)
        for entry, sid in fold.received.items():
            self._change(sid, entry, None)
        many("DELETE FROM place WHERE sid = ? AND entry = ?", fold.removed)
        for sid, count in fold.dropped.items():
            self._remove(sid, self.connection.execute(DROP_OLDEST, (sid, count)).fetchall())
        self._write_records(fold)
        for sid in fold.ended:
            self._end(sid)

    def _change(self, sid: int, entry: int, pid: int | None) -> None:
        """A stored message was sent with the packet id `pid`; None: PUBREC came, and only the packet id is still in
        use."""
        for *place, body in self.connection.execute(THE_PLACE, (sid, entry)).fetchall():
            data = PLACES.strip(body, *place)
            _, _, number, subid, qos, flags, before, received = place
            changed = (number, subid, qos, flags, pid, received) if pid else (0, subid, qos, flags, before, 1)
            self.connection.execute(
                "UPDATE place SET number = ?, pid = ?, received = ?, body = ? WHERE sid = ? AND entry = ?",
                (changed[0], *changed[4:], PLACES.append(data if pid else b"", sid, entry, *changed), sid, entry))

    def _write_records(self, fold: Compactor) -> None:
        for index, table in enumerate(TABLES):
            records = [(key[1], key[2], value) for key, value in fold.facts.items() if key[0] == index]
            with_checksum = RECORDS[table].append
            self.connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)",
                                        [(sid, key, with_checksum(value, sid, key))
                                         for sid, key, value in records if value is not None])
            self.connection.executemany(f"DELETE FROM {table} WHERE sid = ? AND key = ?",
                                        [(sid, key) for sid, key, value in records if value is None])

    def _refer(self, changes: Mapping[int, int]) -> None:
        """Counts the places of messages in `message`; messages without a place are deleted."""
        gone, changed = [], []
        for number, by in changes.items():
            for refs, body in self.connection.execute("SELECT refs, body FROM message WHERE number = ?", (number,)):
                data, now = MESSAGES.strip(body, number, refs), refs + by
                if now > 0:
                    changed.append((now, MESSAGES.append(data, number, now), number))
                else:
                    gone.append((number,))
        self.connection.executemany("UPDATE message SET refs = ?, body = ? WHERE number = ?", changed)
        self.connection.executemany("DELETE FROM message WHERE number = ?", gone)

    def _share(self, numbers: set[int]) -> None:
        """Moves bodies that stand in the row of their only place to `message`, since they get another place: when the
        queue of an ended session goes to others, or a retained message to a subscriber. One pass over all places finds
        them."""
        alone = {number for number in numbers if not self.connection.execute(
            "SELECT 1 FROM message WHERE number = ?", (number,)).fetchone()}
        if alone:
            found = [row for row in self.connection.execute(
                f"SELECT {PLACE}, body FROM place WHERE number BETWEEN ? AND ?", (min(alone), max(alone)))
                if row[2] in alone]
            self.connection.executemany("INSERT INTO message VALUES (?, 1, ?)", [
                (place[2], MESSAGES.append(PLACES.strip(body, *place), place[2], 1)) for *place, body in found])
            self.connection.executemany("UPDATE place SET body = ? WHERE sid = ? AND entry = ?", [
                (PLACES.append(b"", *place), *place[:2]) for *place, _ in found])

    def _remove(self, sid: int, places: list[tuple[int, int]]) -> None:
        self.connection.executemany("DELETE FROM place WHERE sid = ? AND entry = ?",
                                    [(sid, entry) for entry, _ in places])
        lost = Counter(number for _, number in places if number)
        self._refer({number: -count for number, count in lost.items()})

    def _end(self, sid: int) -> None:
        """Deletes a session with everything in it. Its number is not used again."""
        self._remove(sid, self.connection.execute(ALL_OF, (sid,)).fetchall())
        for table in TABLES:
            self.connection.execute(f"DELETE FROM {table} WHERE sid = ?", (sid,))

    # -- pages ----------------------------------------------------------------------------------------------------

    def page(self, sid: int, after: int, limit: int, in_flight: bool) -> bytes:
        """The next messages of a session, as the engine reads them: first those in flight, if asked for, in the order
        in which they were sent, then the queue."""
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

    def tidy_up(self) -> None:
        """Returns some unused pages to the disk. As a script: `execute` would stop a statement without columns after
        its first row, which is one page."""
        self.connection.executescript("PRAGMA incremental_vacuum(256);")

    def shrink(self) -> None:
        """Truncates SQLite's log."""
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Closes the database."""
        self.connection.close()


def body_of(row: Row) -> bytes:
    """The body of a message; b"" where only its packet id is in use. Raises Damaged."""
    *place, own, refs, shared = row
    body = PLACES.strip(own, *place)
    return body if shared is None else MESSAGES.strip(shared, place[2], refs)


def as_row(row: Row) -> bytes:
    """A queued message as the worker reads it in a page."""
    _, entry, number, subid, qos, flags, pid, received, *_ = row
    body = body_of(row)
    state = 0 if pid == 0 else WAIT_PUBCOMP if received else WAIT_PUBREC if qos == 2 else WAIT_PUBACK
    return ROW.pack(entry, number, subid, pid, qos, flags, state, len(body)) + body
