"""Backups of everything durable: a zip file of consistent copies of both databases, and a note of their versions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO

import msgspec

from emqx_mgmt.storage import acknowledged, schema
from emqx_mgmt.storage.data_dir import sync_directory
from emqx_mgmt.storage.integrity import Damaged, legible, quick_check
from emqx_mgmt.storage.messages import tables
from emqx_mgmt.storage.messages.process import LOCK_NAME

MANIFEST = "manifest.json"
FORMAT = 1
# What is put in place at the next start of a worker.
STAGED = "import"
STAGED_READY = "import.ready"

# In the order in which they are copied: what the journal forgets meanwhile is in the tables then.
DATABASES: dict[str, int] = {
    schema.FILE_NAME: len(schema.MIGRATIONS),
    tables.JOURNAL_NAME: tables.JOURNAL_VERSION,
    tables.FILE_NAME: len(tables.MIGRATIONS),
}


class BackupError(Exception):
    """The file is no backup, or one that this version cannot read."""


class Manifest(msgspec.Struct):
    """`schemas` by file name; `at` in unix seconds."""

    format: int
    at: int
    schemas: dict[str, int]


def export(data_dir: Path, target: Path) -> None:
    """Writes a backup of a data directory, also while a broker uses it. Each copy is of one moment."""
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        whole = Path(work) / "backup"
        whole.touch(0o600)  # it has the digests of credentials in it
        with whole.open("wb") as file:
            pack(data_dir, file, Path(work))
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, target)
        sync_directory(target.parent)


def pack(data_dir: Path, file: IO[bytes], work: Path) -> None:
    """The backup into `file`; copies are made in `work`. What the journal has and the tables do not is in both, since
    the tables are copied later."""
    schemas = {name: copy(data_dir / name, work / name) for name in DATABASES if (data_dir / name).exists()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(Manifest(FORMAT, int(time.time()), schemas)))
        for name in schemas:
            archive.write(work / name, name)


def copy(source: Path, target: Path) -> int:
    """A consistent copy, and the version of its schema."""
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        version: int = writing.execute("PRAGMA user_version").fetchone()[0]
        return version
    finally:
        writing.close()
        reading.close()


def stage(source: IO[bytes], data_dir: Path) -> None:
    """Unpacks and checks a backup; `put_in_place` takes it. Raises BackupError."""
    place = fresh(data_dir / STAGED)
    place.mkdir(mode=0o700, parents=True)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            check(manifest)
            for name in manifest.schemas:
                archive.extract(name, place)
        with legible():
            verify(place)
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, msgspec.MsgspecError, sqlite3.Error,
            Damaged) as error:
        raise BackupError(f"is not a backup that can be read: {error}") from None
    for file in place.iterdir():
        with file.open("rb") as unpacked:
            os.fsync(unpacked.fileno())
    sync_directory(place)
    os.replace(place, fresh(data_dir / STAGED_READY))
    sync_directory(data_dir)


def check(manifest: Manifest) -> None:
    if manifest.format != FORMAT:
        raise BackupError(f"has format {manifest.format}, this version reads {FORMAT}")
    for name, version in manifest.schemas.items():
        if version > DATABASES.get(name, -1):
            raise BackupError(f"has a {name} that a newer version has written (schema {version})")


def verify(place: Path) -> None:
    """Raises Damaged or sqlite3.Error."""
    path, journal = place / tables.FILE_NAME, place / tables.JOURNAL_NAME
    if path.exists() and not journal.exists():
        journal.touch(0o600)  # a backup of the first version: no other journal is to stay beside it
    tables.verify(path, journal)
    if (place / schema.FILE_NAME).exists():
        with closing(sqlite3.connect(place / schema.FILE_NAME)) as connection:
            quick_check(connection)


def fresh(place: Path) -> Path:
    """The path, with nothing there."""
    if place.is_dir():
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    return place


def try_to_put_in_place(data_dir: Path, log: Callable[[str], None]) -> bool:
    """`put_in_place` unless the store process of an earlier worker still runs: then False."""
    if not (data_dir / STAGED_READY).is_dir():
        return True
    fd = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        put_in_place(data_dir, log)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def put_in_place(data_dir: Path, log: Callable[[str], None]) -> None:
    """Replaces the databases with those of a staged backup. To be called while nobody has them open."""
    place = data_dir / STAGED_READY
    if not place.is_dir():
        return
    for file in sorted(place.iterdir()):
        for suffix in ("-wal", "-shm", acknowledged.SUFFIX):
            (data_dir / f"{file.name}{suffix}").unlink(missing_ok=True)
        sync_directory(data_dir)  # a log that came back would be copied into the wrong file
        os.replace(file, data_dir / file.name)
        log(f"{file.name} was replaced with the one of the backup")
    sync_directory(data_dir)
    place.rmdir()


def main(verb: str, directory: str) -> None:
    """`python -m emqx_mgmt.storage.backup export|stage <data directory>`: writes to standard output, or reads from
    standard input; both have to be files."""
    data_dir = Path(directory)
    try:
        if verb == "stage":
            stage(sys.stdin.buffer, data_dir)
            return
        with tempfile.TemporaryDirectory(dir=data_dir) as work:
            pack(data_dir, sys.stdout.buffer, Path(work))
            sys.stdout.flush()
    except BackupError as error:
        sys.exit(f"it {error}")
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"the backup failed: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
