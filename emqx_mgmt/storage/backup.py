"""Backups: a zip file with consistent copies of all databases and their versions."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

import msgspec

from emqx_mgmt.storage import acknowledged, audit, installation, schema, store
from emqx_mgmt.storage.data_dir import DataDirError, give_to_owner, locked, make_directory, require_room, sync_directory
from emqx_mgmt.storage.integrity import Damaged, legible
from emqx_mgmt.storage.messages import tables
from emqx_mgmt.storage.messages.commits import Commits
from emqx_mgmt.storage.messages.process import LOCK_NAME
from emqx_mgmt.storage.messages.recovery import read_back
from emqx_mgmt.storage.messages.writer import Writer
from router_ext.durable.journal import TABLES

MANIFEST = "manifest.json"
LONGEST_MANIFEST = 1 << 16
FORMAT = 1
PIECE = 1 << 16
# What is put in place at the next start of a worker.
STAGED = "import"
STAGED_READY = "import.ready"
STAGING_LOCK = "import.lock"

# In the order in which they are copied: what the journal forgets meanwhile is in the tables then.
DATABASES: dict[str, int] = {
    schema.FILE_NAME: len(schema.MIGRATIONS),
    tables.JOURNAL_NAME: tables.JOURNAL_VERSION,
    tables.FILE_NAME: len(tables.MIGRATIONS),
}


class BackupError(Exception):
    """The file is no backup, or none that this version can use."""


class Manifest(msgspec.Struct):
    """`schemas` by file name; `at` in unix seconds."""

    format: int
    at: int
    schemas: dict[str, int]


def export(data_dir: Path, target: Path) -> None:
    """Writes a backup of a data directory, also while a broker uses it. Each database is copied as of one moment."""
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
    """Writes the backup into `file`, with copies made in `work`. The journal is copied first: commits that it forgets
    meanwhile are in the tables then."""
    schemas = {name: copy(data_dir / name, work / name) for name in DATABASES if (data_dir / name).exists()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(Manifest(FORMAT, int(time.time()), schemas)))
        for name in schemas:
            archive.write(work / name, name)


def copy(source: Path, target: Path) -> int:
    """Makes a consistent copy; returns the version of its schema."""
    reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    writing = sqlite3.connect(target)
    try:
        reading.backup(writing)
        version: int = writing.execute("PRAGMA user_version").fetchone()[0]
        return version
    finally:
        writing.close()
        reading.close()


# -- taking a backup in -----------------------------------------------------------------------------------------------


def stage(source: IO[bytes], data_dir: Path, by: audit.Change | None = None) -> None:
    """Unpacks a backup beside the stores and opens it as a broker does; `put_in_place` takes it over. `by` is the
    author in its audit record. Raises BackupError, and DataDirError or OSError where the disk prevents it."""
    make_directory(data_dir)
    place = data_dir / STAGED
    try:
        with locked(data_dir / STAGING_LOCK):
            remove(place)
            try:
                unpack(source, place)
                try_out(place, number_of(data_dir), by)
                require_room(data_dir)
                settle(place)
                remove(data_dir / STAGED_READY)
                os.replace(place, data_dir / STAGED_READY)
            finally:
                remove(place)
            sync_directory(data_dir)
    except BlockingIOError:
        raise DataDirError("another backup is being imported", os.EX_UNAVAILABLE) from None


def remove(place: Path) -> None:
    """Removes a directory with everything in it, if it is there."""
    if place.is_dir():
        shutil.rmtree(place)


def unpack(source: IO[bytes], place: Path) -> None:
    """Unpacks the databases that the manifest names, and nothing else."""
    place.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(source) as archive:
            manifest = manifest_of(archive)
            check(manifest)
            for name in manifest.schemas:
                with archive.open(name) as packed, private(place / name) as file:
                    copy_with_room(packed, file, place)
    except (OSError, DataDirError, BackupError):
        raise
    except Exception as error:  # zipfile and its decompressors raise almost anything
        raise BackupError(f"is not a backup that can be read: {error}") from None
    for name, version in manifest.schemas.items():
        if (found := version_in(place / name)) != version:
            raise BackupError(f"is not a backup that can be read: its {name} has schema {found}, not {version}")


def manifest_of(archive: zipfile.ZipFile) -> Manifest:
    """Raises BackupError for one that is too long."""
    if archive.getinfo(MANIFEST).file_size > LONGEST_MANIFEST:
        raise BackupError(f"is not a backup that can be read: its {MANIFEST} is too long")
    return msgspec.json.decode(archive.read(MANIFEST), type=Manifest)


def check(manifest: Manifest) -> None:
    """Raises BackupError where this version cannot read the backup."""
    if manifest.format != FORMAT:
        raise BackupError(f"has format {manifest.format}, this version reads {FORMAT}")
    if schema.FILE_NAME not in manifest.schemas:
        raise BackupError(f"is not a backup that can be read: it has no {schema.FILE_NAME}")
    for name, version in manifest.schemas.items():
        if name not in DATABASES or version < 1:
            raise BackupError(f"is not a backup that can be read: {name} with schema {version} is none of a broker's")
        if version > DATABASES[name]:
            raise BackupError(f"has a {name} that a newer version has written (schema {version})")


def private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def copy_with_room(source: IO[bytes], target: IO[bytes], directory: Path) -> None:
    """Copies while the disk keeps its reserve free. Raises DataDirError."""
    while piece := source.read(PIECE):
        require_room(directory)
        target.write(piece)


def version_in(path: Path) -> int:
    """The schema of a database. Raises BackupError when it cannot be read."""
    try:
        with legible(), closing(sqlite3.connect(path)) as connection:
            return schema.version_of(connection)
    except sqlite3.Error as error:
        raise BackupError(f"is not a backup that can be read: {path.name}: {error}") from None


def number_of(data_dir: Path) -> int:
    """The number of the installation to which the backup will belong."""
    try:
        return installation.read(data_dir) or installation.new_number()
    except Damaged:
        return installation.new_number()


def try_out(place: Path, number: int, by: audit.Change | None) -> None:
    """Opens everything as the start of a broker does. Raises BackupError."""
    try:
        for name in DATABASES:
            if (place / name).exists():
                with closing(sqlite3.connect(place / name, isolation_level=None)) as connection:
                    installation.adopt(connection, number)
        installation.write(place, number)
        schema.migrate(place)
        open_messages(place)
        records = store.Store(place)
        try:
            records.open()
            records.logins.end_all()  # some may have been ended since
            if by is not None:
                records.audit.add(by, sys.maxsize)
        finally:
            records.close()
    except OSError:
        raise
    except DataDirError as error:
        raise BackupError(f"cannot be started with: {error}") from None
    except Exception as error:  # whatever it is, it would have ended the broker
        raise BackupError(f"cannot be started with: {error}") from None


def open_messages(place: Path) -> None:
    """Reads the whole message store of a backup, as a start does. Raises where a start would."""
    path, journal = place / tables.FILE_NAME, place / tables.JOURNAL_NAME
    if not path.exists() and not journal.exists():
        return
    if not journal.exists():
        journal.touch(0o600)  # a backup of the first version: no other journal is to stay beside it
    tables.check(place, synced=False)
    with closing(Commits(journal, "fsync")) as commits, closing(Writer(path, journal)) as writer:
        writer.recover(commits.rows(writer.done))
    recovered = read_back(place, lambda: None)
    try:
        for table in TABLES:
            for _ in recovered.rows(table):
                pass
    finally:
        recovered.close()


def settle(place: Path) -> None:
    """Removes what is not to be put in place, syncs the rest, and gives it to the broker's user."""
    for file in place.iterdir():
        if file.name not in (*DATABASES, installation.FILE_NAME):
            file.unlink()
            continue
        file.chmod(0o600)
        give_to_owner(file, place.parent)
        with file.open("rb") as kept:
            os.fsync(kept.fileno())
    give_to_owner(place, place.parent)
    sync_directory(place)


# -- the stores replaced ----------------------------------------------------------------------------------------------


def try_to_put_in_place(data_dir: Path, log: Callable[[str], None]) -> bool:
    """`put_in_place` unless an earlier worker, or its store process, still has the stores open: then False. Raises
    DataDirError."""
    if not (data_dir / STAGED_READY).is_dir():
        return True
    try:
        with ExitStack() as locks:
            for name in (STAGING_LOCK, store.LOCK_NAME, LOCK_NAME):
                locks.enter_context(locked(data_dir / name))
            put_in_place(data_dir, log)
    except BlockingIOError:
        return False
    except (OSError, sqlite3.Error) as error:
        raise DataDirError(f"Cannot finish the import in {data_dir}: {error}", os.EX_OSERR) from None
    return True


def put_in_place(data_dir: Path, log: Callable[[str], None]) -> None:
    """Replaces the databases by those of a staged backup. No process may have them open. If it is interrupted, the next
    call continues."""
    place = data_dir / STAGED_READY
    if all((directory / schema.FILE_NAME).exists() for directory in (data_dir, place)):
        keep_audit_record(data_dir, place, log)
    for file in [place / name for name in (installation.FILE_NAME, *DATABASES) if (place / name).exists()]:
        for suffix in ("-wal", "-shm", acknowledged.SUFFIX):
            (data_dir / f"{file.name}{suffix}").unlink(missing_ok=True)
        sync_directory(data_dir)  # a log that came back would be copied into the wrong file
        os.replace(file, data_dir / file.name)
        log(f"{file.name} was replaced with the one of the backup")
    sync_directory(data_dir)
    remove(place)


def keep_audit_record(data_dir: Path, place: Path, log: Callable[[str], None]) -> None:
    """Merges the audit record from before the import into that of the backup. Doing it twice does no harm."""
    try:
        with closing(schema.connect_to_read(data_dir)) as connection:
            before = audit.select(connection)
    except sqlite3.Error as error:
        log(f"The audit record of before the import is not kept: {error}")
        return
    with closing(schema.connect(place)) as connection:
        audit.merge(connection, before)


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
    except (DataDirError, OSError, sqlite3.Error) as error:
        sys.exit(f"the backup failed: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
