"""The part of a disk that publishers may not use.

Clients that fetch stored messages need it: their acknowledgements are commits, and space is freed only after more was
written. A disk that the broker has filled completely would stay full.
"""

from __future__ import annotations

import os
from pathlib import Path

RESERVE = 64 << 20      # bytes,
PART = 4                # but no more than one such part of the disk
ROWS = 3                # times the length of commits that have no rows yet: the journal's file, SQLite's log, the rows


class Reserve:
    """The reserve on the disk of the data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._is_begun = False

    def begun(self, pending: int) -> str:
        """A sentence while the reserve is in use, until half as much again is free; else "". `pending`: bytes of
        commits without rows."""
        disk = os.statvfs(self._data_dir)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // PART)
        free = disk.f_bavail * disk.f_frsize - ROWS * pending
        self._is_begun = free < (reserve * 3 // 2 if self._is_begun else reserve)
        return f"less than {reserve >> 10} KiB are free" if self._is_begun else ""
