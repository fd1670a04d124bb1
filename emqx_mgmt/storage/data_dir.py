"""The data directory belongs to one broker at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM_TO_START = 1 << 20     # bytes
ROOT = 0


class DataDirError(Exception):
    """The data directory cannot be used. `code` is the exit code: 69 in use, 71 an error of the system, 78 not this
    broker's."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def cannot_use(data_dir: Path, error: OSError) -> DataDirError:
    """The error that ends the start."""
    return DataDirError(f"Cannot use the data directory {data_dir}: {error.strerror}", os.EX_OSERR)


def holder(data_dir: Path) -> int:
    """The process id of the master that has the directory, or that had it last."""
    return int((data_dir / "lock").read_text())


def sync_directory(directory: Path) -> None:
    """Syncs the directory: names that were made, changed or removed in it survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """Makes the directory and its parents, and syncs them."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in missing:
        sync_directory(place.parent)


def require_room(directory: Path) -> None:
    """Raises DataDirError when the disk has no room for opening the stores: SQLite's logs and indices, and a first
    commit."""
    disk = os.statvfs(directory)
    if disk.f_bavail * disk.f_frsize < ROOM_TO_START:
        raise DataDirError(f"Less than {ROOM_TO_START >> 10} KiB are free in the data directory {directory}",
                           os.EX_OSERR)


def open_lock(path: Path) -> int:
    """The descriptor of a lock file. Made by root, it is given to the directory's owner, as whom a service
    continues."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_to_owner(fd, path.parent)
    return fd


def give_to_owner(made: int | Path, directory: Path) -> None:
    """Where root makes a file, it belongs to the owner of its directory."""
    if os.geteuid() == ROOT:
        owner = directory.stat()
        os.chown(made, owner.st_uid, owner.st_gid)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a file. Raises BlockingIOError when another process has it."""
    fd = open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


class DataDirLock:
    """A lock on `<data_dir>/lock`, held until the last process that inherited it has ended, kill -9 included."""

    def __init__(self, data_dir: Path, inherited: int | None = None) -> None:
        self._fd = inherited if inherited is not None else self._acquire(data_dir)
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise cannot_use(data_dir, error) from None

    @staticmethod
    def _acquire(data_dir: Path) -> int:
        path = data_dir / "lock"
        try:
            make_directory(data_dir)
            fd = open_lock(path)
        except OSError as error:
            raise cannot_use(data_dir, error) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise DataDirError(
                f"The data directory {data_dir} is in use by another broker (process {holder})", os.EX_UNAVAILABLE
            ) from None
        return fd

    def export(self) -> int:
        """The descriptor, made to survive an exec."""
        os.set_inheritable(self._fd, True)
        return self._fd
