"""What is checked of every database before it is used: SQLite's own view of the file, and whose it is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


class Damaged(Exception):
    """The file is not what was written; the text says where."""


@contextmanager
def legible() -> Iterator[None]:
    """What SQLite says of a damaged schema quotes it, and may be no text: Python raises UnicodeDecodeError instead of
    the error then. Raises sqlite3.DatabaseError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(error.object.decode(errors="replace")) from None


def quick_check(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError at the first thing that is not as it should be."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
