"""The content of the store when the broker starts. Queued messages stay in the store; sessions know their number."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emqx_mgmt.storage.messages.tables import FILE_NAME, RECORDS, connect_to_read

Row = tuple[int, bytes, bytes]

SOME = 10_000       # rows
# In one pass over the largest of the tables.
PLACES = "SELECT sid, count(*), sum(pid != 0), max(entry), max(number) FROM place GROUP BY sid"


@dataclass(slots=True)
class Recovered:
    """Rows are (session number, key, value). `messages` has for each session with messages how many there are, and how
    many are in flight. `alive` is called at intervals, since reading may take long."""

    connection: sqlite3.Connection
    alive: Callable[[], None]
    next_sid: int
    next_entry: int
    next_number: int
    messages: dict[int, tuple[int, int]]

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table, by session and key. Raises Damaged."""
        rows = self.connection.execute(f"SELECT sid, key, value FROM {table} ORDER BY sid, key")
        for count, (sid, key, value) in enumerate(rows):
            if count % SOME == 0:
                self.alive()
            yield sid, key, RECORDS[table].strip(value, sid, key)

    def close(self) -> None:
        """Closes the database."""
        self.connection.close()


def read_back(data_dir: Path, alive: Callable[[], None]) -> Recovered:
    """Called while the store process is idle: after it is ready, before the first batch."""
    connection = connect_to_read(data_dir / FILE_NAME)

    def highest(column: str, table: str) -> int:
        return int(connection.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()[0])

    # A body that stands in the row of its place has no row in `message`; its number is taken all the same.
    entry, number, messages = 0, highest("number", "message"), {}
    for sid, count, in_flight, latest, of_number in connection.execute(PLACES):
        messages[sid] = (count, in_flight)
        entry, number = max(entry, latest), max(number, of_number)
    return Recovered(connection, alive, highest("sid", "session") + 1, entry + 1, number + 1, messages)
