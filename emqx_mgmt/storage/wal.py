"""Looks for damage in SQLite's log of a database, before SQLite opens it.

SQLite takes the first frame with a wrong checksum for the end of the log, and ignores the frames behind it. That is
right for a commit that a power cut has interrupted: it was never acknowledged. Damage further ahead would lose commits
silently. The two can be told apart: a commit begins after the one before it is synced, so where frames of another
commit follow, everything before them was on disk.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from pathlib import Path
from typing import IO

from router_ext.durable.sqlite_checksum import checksum

MAGIC = 0x377F0682                  # with the last bit set where checksums are of big-endian words
HEADER = struct.Struct(">8I")       # magic, version, page size, sequence, salts (2), checksum of the rest (2)
FRAME = struct.Struct(">6I")        # page, size of the database after a commit or 0, salts (2), checksum so far (2)
PAGE_SIZES = [1 << n for n in range(9, 17)]
LOOKS = 3

Sums = tuple[int, int]


class LogDamaged(Exception):
    """The text says which log."""


def verify_log(database: Path) -> None:
    """Raises LogDamaged where SQLite would ignore commits that were synced. The log is read several times, since a
    running broker may write to it meanwhile."""
    path = database.with_name(f"{database.name}-wal")
    if path.exists() and all(loses_commits(path) for _ in range(LOOKS)):
        raise LogDamaged(f"commits in {path.name} lie behind a part of it that is not as it was written")


def loses_commits(path: Path) -> bool:
    """False where there is no log."""
    with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        return has_commits_behind_damage(file)
    return False


def has_commits_behind_damage(file: IO[bytes]) -> bool:
    """Whether SQLite would stop reading before commits that were synced."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return False
    magic, _, page_size, _, *salts, first, second = HEADER.unpack(header)
    swapped = bool(magic & 1) != (sys.byteorder == "big")
    if magic & ~1 != MAGIC or page_size not in PAGE_SIZES or checksum(header[:24], 0, 0, swapped) != (first, second):
        return file.read(1) != b""  # it was synced before the first frame
    before, bad, commit = (first, second), False, False
    while len(frame := file.read(FRAME.size + page_size)) == FRAME.size + page_size:
        whole, is_commit, before = read(frame, salts, before, swapped)
        if bad and commit and whole:
            return True
        bad = bad or not whole
        commit = bad and whole and is_commit
    return False


def read(frame: bytes, salts: list[int], before: Sums, swapped: bool) -> tuple[bool, bool, Sums]:
    """For the frame behind one with the sums `before`: whether it is whole, whether it ends a commit, and its own
    sums."""
    _, size, *of, first, second = FRAME.unpack_from(frame)
    whole = of == salts and checksum(frame[24:], *checksum(frame[:8], *before, swapped), swapped) == (first, second)
    return whole, size > 0, (first, second)
