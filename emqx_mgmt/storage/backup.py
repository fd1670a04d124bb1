"""Backups of everything durable: a zip file of consistent copies of both databases, and a note of their versions."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from emqx_mgmt.storage import schema
from emqx_mgmt.storage.messages import tables
from emqx_mgmt.storage.messages.process import LOCK_NAME

MANIFEST = "manifest.json"
FORMAT = 1
# What is put in place at the next start of a worker.
STAGED = "import"
STAGED_READY = "import.ready"

# In the order in which they are copied: what the journal forgets meanwhile is in the tables then.
DATABASES: dict[str, int] = {
    schema.FILE_NAME: len(schema.MIGRATIONS), tables.JOURNAL_NAME: 1, tables.FILE_NAME: len(tables.MIGRATIONS)}


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
        schemas = {}
        for name in DATABASES:
            if (data_dir / name).exists():
                schemas[name] = copy(data_dir / name, Path(work) / name)
        whole = Path(work) / "backup"
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr(MANIFEST, msgspec.json.encode(Manifest(FORMAT, int(time.time()), schemas)))
            for name in schemas:
                archive.write(Path(work) / name, name)
        os.chmod(whole, 0o600)  # it has the digests of credentials in it
        os.replace(whole, target)


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


def stage(source: Path, data_dir: Path) -> None:
    """Unpacks and checks a backup; `put_in_place` takes it. Raises BackupError."""
    place = data_dir / STAGED
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = msgspec.json.decode(archive.read(MANIFEST), type=Manifest)
            check(manifest)
            for name in manifest.schemas:
                archive.extract(name, place)
        verify(place)
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError, sqlite3.Error, tables.Damaged) as error:
        raise BackupError(f"{source} is not a backup that can be read: {error}") from None
    os.replace(place, fresh(data_dir / STAGED_READY))


def check(manifest: Manifest) -> None:
    if manifest.format != FORMAT:
        raise BackupError(f"the backup has format {manifest.format}, this version reads {FORMAT}")
    for name, version in manifest.schemas.items():
        if version > DATABASES.get(name, -1):
            raise BackupError(f"{name} in the backup was written by a newer version (schema {version})")


def verify(place: Path) -> None:
    """Raises Damaged or sqlite3.Error."""
    path, journal = place / tables.FILE_NAME, place / tables.JOURNAL_NAME
    if path.exists() and not journal.exists():
        journal.touch(0o600)  # a backup of the first version: no other journal is to stay beside it
    tables.verify(path, journal)
    if (place / schema.FILE_NAME).exists():
        with closing(sqlite3.connect(place / schema.FILE_NAME)) as connection:
            tables.quick_check(connection)


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
        for suffix in ("-wal", "-shm"):
            (data_dir / f"{file.name}{suffix}").unlink(missing_ok=True)
        os.replace(file, data_dir / file.name)
        log(f"{file.name} was replaced with the one of the backup")
    place.rmdir()
