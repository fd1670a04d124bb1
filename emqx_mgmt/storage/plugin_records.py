"""Records of plugins: loaded or unloaded over REST, changed settings, versions of their tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emqx_mgmt.storage import checksums
from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run


class PluginRecords:
    """What administrators have changed of plugins, and the versions of their tables."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def changes(self) -> dict[str, bool]:
        """Whether each plugin is to be loaded, where that differs from the configuration."""
        return self._run(select_changes)

    def set_loaded(self, name: str, loaded: bool | None) -> None:
        """None: as configured."""
        self._run(write_loaded, name, loaded)

    def settings(self, name: str) -> tuple[dict[str, str], bool]:
        """The stored texts by key, and whether they replace the plugin's file."""
        return self._run(select_settings, name)

    def replace_settings(self, name: str, texts: Mapping[str, str], whole: bool) -> None:
        """`whole`: settings that are not in `texts` have their defaults, whatever the file says."""
        self._run(write_settings, name, dict(texts), whole)

    def put_setting(self, name: str, key: str, text: str) -> None:
        """Adds or replaces one. Raises StoreUnusable."""
        self._run(write_setting, name, key, text)

    def remove_setting(self, name: str, key: str) -> None:
        """Nothing happens when there is none. Raises StoreUnusable."""
        self._run(delete_setting, name, key)

    def migrate(self, name: str, scripts: Sequence[str]) -> None:
        """Runs the scripts of a plugin's tables that were not run yet; one version for each script."""
        if scripts:
            self._run(run_scripts, name, list(scripts))


def select_changes(connection: sqlite3.Connection) -> dict[str, bool]:
    """Whether each plugin is to be loaded, in the order of the changes."""
    rows = connection.execute("SELECT name, loaded FROM plugin_change ORDER BY rowid")
    return {row["name"]: bool(row["loaded"]) for row in rows}


def write_loaded(connection: sqlite3.Connection, name: str, loaded: bool | None) -> None:
    """None: as the configuration says."""
    if loaded is None:
        connection.execute("DELETE FROM plugin_change WHERE name = ?", (name,))
    else:
        connection.execute("INSERT OR REPLACE INTO plugin_change (name, loaded) VALUES (?, ?)", (name, loaded))


def select_settings(connection: sqlite3.Connection, name: str) -> tuple[dict[str, str], bool]:
    """The texts by key, and whether they are the whole set."""
    whole = connection.execute("SELECT 1 FROM plugin_whole_set WHERE plugin = ?", (name,)).fetchone()
    rows = connection.execute("SELECT key, value FROM plugin_setting WHERE plugin = ?", (name,))
    return {row["key"]: row["value"] for row in rows}, whole is not None


def write_settings(connection: sqlite3.Connection, name: str, texts: dict[str, str], whole: bool) -> None:
    """Replaces all rows of the plugin."""
    with transaction(connection):
        connection.execute("DELETE FROM plugin_setting WHERE plugin = ?", (name,))
        connection.execute("DELETE FROM plugin_whole_set WHERE plugin = ?", (name,))
        if whole:
            connection.execute("INSERT INTO plugin_whole_set (plugin) VALUES (?)", (name,))
        connection.executemany("INSERT INTO plugin_setting VALUES (?, ?, ?)",
                               [(name, key, text) for key, text in texts.items()])


def write_setting(connection: sqlite3.Connection, name: str, key: str, text: str) -> None:
    """Adds the row or replaces it."""
    connection.execute("INSERT OR REPLACE INTO plugin_setting VALUES (?, ?, ?)", (name, key, text))


def delete_setting(connection: sqlite3.Connection, name: str, key: str) -> None:
    """Removes the row, if there is one."""
    connection.execute("DELETE FROM plugin_setting WHERE plugin = ? AND key = ?", (name, key))


def run_scripts(connection: sqlite3.Connection, name: str, scripts: list[str]) -> None:
    """Runs those that were not run yet, each in a transaction. Raises ValueError where a newer version has run more."""
    row = connection.execute("SELECT version FROM plugin_tables WHERE plugin = ?", (name,)).fetchone()
    version = row["version"] if row else 0
    if version > len(scripts):
        raise ValueError(f"its tables were written by a newer version of it (schema {version})")
    for number in range(version, len(scripts)):
        done = f"INSERT OR REPLACE INTO plugin_tables VALUES ('{name}', {number + 1});"
        checksums.run_script(connection, f"{scripts[number]}; {done}")
