"""The checks of every database before it is used: SQLite's own, and the installation's number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITE_FORMAT = 18   # the offset in SQLite's header (https://sqlite.org/fileformat2.html, 1.3.3)
# Errors of the disk and its locks; what SQLite finds wrong otherwise is in the file.
OF_THE_SYSTEM = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
})


class Damaged(Exception):
    """The file differs from what was written; the text says where."""


class Newer(Damaged):
    """The number of its schema is one that this version does not know."""

    def __init__(self, file: str, version: int) -> None:
        super().__init__(f"{file} was written by a newer version of the broker (schema {version})")


@contextmanager
def legible() -> Iterator[None]:
    """Turns UnicodeDecodeError into sqlite3.DatabaseError: SQLite quotes a damaged schema in its messages, which then
    may not be UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(error.object.decode(errors="replace")) from None


def code_of(error: sqlite3.Error) -> int:
    """SQLite's primary result code (https://sqlite.org/rescode.html); 0: the error is Python's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_of_the_system(error: Exception) -> bool:
    """Whether the error is one of disk or locks, which says nothing about the file."""
    return isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and code_of(error) in OF_THE_SYSTEM)


def verify_header(path: Path) -> None:
    """Raises Damaged for a file of a later SQLite format, which SQLite would open without a word and refuse at the
    first write. An empty file has no header."""
    with path.open("rb") as file:
        header = file.read(WRITE_FORMAT + 1)
    if header and header[WRITE_FORMAT:] not in (b"\1", b"\2"):
        raise Damaged(f"the header of {path.name} is not one of SQLite's")


def quick_check(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError at the first fault that SQLite finds."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
