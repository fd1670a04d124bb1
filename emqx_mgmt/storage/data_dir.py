"""The data directory belongs to one broker at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DataDirError(Exception):
    """The data directory cannot be used. `code` is the exit code: 69 in use, 71 the system refuses, 78 not ours."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def holder(data_dir: Path) -> int:
    """The master whose broker has the directory; the one that had it last when none has."""
    return int((data_dir / "lock").read_text())


def sync_directory(directory: Path) -> None:
    """Names that were given, changed or taken away there survive a power cut from here on."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(directory: Path) -> None:
    """With its parents, all of which survive a power cut from here on."""
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in missing:
        sync_directory(place.parent)


class DataDirLock:
    """A lock on `<data_dir>/lock`, held until the last process that inherited it has ended, kill -9 included."""

    def __init__(self, data_dir: Path, inherited: int | None = None) -> None:
        self._fd = inherited if inherited is not None else self._acquire(data_dir)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @staticmethod
    def _acquire(data_dir: Path) -> int:
        path = data_dir / "lock"
        try:
            make_directory(data_dir)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"Cannot use the data directory {data_dir}: {error.strerror}", os.EX_OSERR) from None
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
