"""Settings that were changed over REST."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


class ConfigChanges:
    """Settings that were set over REST, as texts by key."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def all(self) -> dict[str, str]:
        """Raises StoreUnusable."""
        return {row["key"]: row["value"] for row in self._run(select)}

    def put(self, key: str, value: str) -> None:
        """Adds or replaces one. Raises StoreUnusable."""
        self._run(replace, key, value)

    def remove(self, key: str) -> None:
        """Nothing happens when there is none. Raises StoreUnusable."""
        self._run(delete, key)


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows."""
    return connection.execute("SELECT key, value FROM config_change").fetchall()


def replace(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Adds the row or replaces it."""
    connection.execute("INSERT OR REPLACE INTO config_change (key, value) VALUES (?, ?)", (key, value))


def delete(connection: sqlite3.Connection, key: str) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM config_change WHERE key = ?", (key,))
