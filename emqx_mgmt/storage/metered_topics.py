"""The topics that have metrics. They survive a restart; their counters do not."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


class MeteredTopics:
    """Topics that have metrics."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def all(self) -> list[str]:
        """In the order in which they were chosen."""
        return [row["topic"] for row in self._run(select)]

    def add(self, topic: str) -> None:
        """Nothing happens when it is there. Raises StoreUnusable."""
        self._run(insert, topic)

    def remove(self, topic: str) -> None:
        """Nothing happens when there is none. Raises StoreUnusable."""
        self._run(delete, topic)


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows, in the order in which they were added."""
    return connection.execute("SELECT topic FROM metered_topic ORDER BY rowid").fetchall()


def insert(connection: sqlite3.Connection, topic: str) -> None:
    """Adds the row, if there is none."""
    connection.execute("INSERT OR IGNORE INTO metered_topic (topic) VALUES (?)", (topic,))


def delete(connection: sqlite3.Connection, topic: str) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM metered_topic WHERE topic = ?", (topic,))
