"""The checksums of the management records: one for each table, kept by triggers, so that every statement updates them.

The checksum of a table is the sum of its rows' CRC-32s, each over the table's name and all columns. A trigger subtracts
the CRC of the old row and adds that of the new one, so a row that is changed, lost or restored in any other way is
found. The triggers also count changes: a file that is too old has fewer than were acknowledged.

Tables of plugins have checksums as well, without columns of their own.
"""

from __future__ import annotations

import sqlite3
import struct
from typing import Any
from zlib import crc32

from emqx_mgmt.storage.integrity import Damaged

PREFIX = "checksum_of_"
OWN = ("checksum", "change_count")
# Not virtual tables and what those keep in tables of their own: they take no triggers.
TABLES = ("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%'"
          " ESCAPE '\\' AND name NOT IN (?, ?) ORDER BY name")
CHANGE = {"INSERT": "+ {new}", "DELETE": "- {old}", "UPDATE": "- {old} + {new}"}

INTEGER, REAL = struct.Struct("<Bq"), struct.Struct("<Bd")
HEAD = struct.Struct("<BQ")


def install(connection: sqlite3.Connection) -> None:
    """Prepares a connection that changes rows. Without `recursive_triggers`, REPLACE would delete rows without the
    triggers."""
    connection.create_function("checksum_of", -1, checksum_of, deterministic=True)
    connection.execute("PRAGMA recursive_triggers = ON")


def checksum_of(table: str, *columns: Any) -> int:
    """The CRC-32 of a row."""
    return crc32(b"".join(map(as_bytes, columns)), crc32(table.encode()))


def as_bytes(value: Any) -> bytes:
    """A column for the CRC-32: its type, its length, its content."""
    if value is None:
        return b"\0"
    if isinstance(value, int):
        return INTEGER.pack(1, value)
    if isinstance(value, float):
        return REAL.pack(2, value)
    data = value.encode() if isinstance(value, str) else value
    return HEAD.pack(3, len(data)) + data


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Runs a script that may change tables, and makes their checksums anew, in one transaction."""
    try:
        connection.executescript("; ".join(["BEGIN IMMEDIATE", *drops(connection), script]))
        seal(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def drops(connection: sqlite3.Connection) -> list[str]:
    """Statements that drop the triggers: SQLite drops no column that a trigger names."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name GLOB ?", (f"{PREFIX}*",))
    return [f"DROP TRIGGER {quoted(row[0])}" for row in names.fetchall()]


def seal(connection: sqlite3.Connection) -> None:
    """Makes the triggers and the checksums of all tables."""
    for statement in drops(connection):
        connection.execute(statement)
    connection.execute("DELETE FROM checksum")
    for table in tables(connection):
        for event, change in CHANGE.items():
            by = change.format(old=call(connection, table, "OLD."), new=call(connection, table, "NEW."))
            connection.execute(
                f"CREATE TRIGGER {quoted(f'{PREFIX}{table}_{event}')} AFTER {event} ON {quoted(table)} BEGIN"
                f" UPDATE checksum SET sum = sum {by} WHERE name = {text(table)};"
                " UPDATE change_count SET number = number + 1; END")
        connection.execute("INSERT INTO checksum VALUES (?, ?)", (table, sum_of(connection, table)))
    connection.execute("UPDATE change_count SET number = number + 1")


def verify(connection: sqlite3.Connection) -> None:
    """Raises Damaged at the first table whose rows do not fit its checksum."""
    there = tables(connection)
    for table, expected in connection.execute("SELECT name, sum FROM checksum ORDER BY name").fetchall():
        if table not in there:
            raise Damaged(f"the table {table} is missing")
        if sum_of(connection, table) != expected:
            raise Damaged(f"the rows of the table {table} are not those that were written")


def changes(connection: sqlite3.Connection) -> int:
    """The number of changes since the store was made."""
    return int(connection.execute("SELECT number FROM change_count").fetchone()[0])


def tables(connection: sqlite3.Connection) -> list[str]:
    """All tables but those of the checksums."""
    return [row[0] for row in connection.execute(TABLES, OWN)]


def sum_of(connection: sqlite3.Connection, table: str) -> int:
    """The checksum of a table. Texts are read as bytes, since a damaged one may not be UTF-8."""
    columns = ", ".join(columns_of(connection, table))
    before, connection.text_factory = connection.text_factory, bytes
    try:
        return sum(checksum_of(table, *row) for row in connection.execute(f"SELECT {columns} FROM {quoted(table)}"))
    finally:
        connection.text_factory = before


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Quoted, in the order of the table."""
    return [quoted(row[0]) for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def call(connection: sqlite3.Connection, table: str, row: str) -> str:
    """The SQL expression of the checksum of `row`, which is `NEW.` or `OLD.`."""
    return f"checksum_of({', '.join([text(table), *(row + column for column in columns_of(connection, table))])})"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"
