"""The number of the last commit that was acknowledged, in a file beside the database."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from zlib import crc32

SUFFIX = "-last"
NUMBER = struct.Struct("<Q")
FORM = struct.Struct("<QI")     # and its CRC-32


class Acknowledged:
    """A database that ends too early looks like one whose last commit was never finished; this number tells the two
    apart. It is written without a sync, so after a power cut it may be an older number, which proves less and nothing
    wrong."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + SUFFIX)
        self._fd = -1

    def read(self) -> int:
        """The number; 0 where none is known."""
        try:
            number, checksum = FORM.unpack(self._path.read_bytes())
        except (FileNotFoundError, struct.error):
            return 0
        return int(number) if checksum == crc32(NUMBER.pack(number)) else 0

    def write(self, number: int) -> None:
        """Writes the number; errors of the disk are ignored."""
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._fd, FORM.pack(number, crc32(NUMBER.pack(number))), 0)

    def forget(self) -> None:
        """Removes the file."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file, if it is open."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
