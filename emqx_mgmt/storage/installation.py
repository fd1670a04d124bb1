"""The number of an installation, in a file of the data directory and in each of its databases (`application_id`).

It tells a first start from one whose records are lost, and a database that belongs here from one of another broker.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from pathlib import Path

from emqx_mgmt.storage.data_dir import sync_directory
from emqx_mgmt.storage.integrity import Damaged

FILE_NAME = "installation"


def new_number() -> int:
    """Random; never 0, which stands for none."""
    return secrets.randbelow((1 << 31) - 1) + 1


def read(data_dir: Path) -> int | None:
    """The number; None where nothing was installed, or only by a version without numbers. Raises Damaged."""
    path = data_dir / FILE_NAME
    try:
        return int(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise Damaged(f"{path} is not what was written; without it the number is taken from management.db") from None


def write(data_dir: Path, number: int) -> None:
    """Writes the file atomically, also over a power cut."""
    new = data_dir / f"{FILE_NAME}.new"
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(b"%d\n" % number)
        file.flush()
        os.fsync(fd)
    os.replace(new, data_dir / FILE_NAME)
    sync_directory(data_dir)


def number_in(connection: sqlite3.Connection) -> int:
    """The number in a database; 0 where it has none yet."""
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def check(connection: sqlite3.Connection, number: int | None) -> None:
    """Raises Damaged where the database belongs to another installation."""
    if number is not None and number_in(connection) not in (0, number):
        raise Damaged("it belongs to another installation")


def adopt(connection: sqlite3.Connection, number: int | None) -> None:
    """Writes the number into a database."""
    if number is not None and number_in(connection) != number:
        connection.execute(f"PRAGMA application_id = {number}")
