"""The checksums of the message store: each covers all columns of a row and the name of its table."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any
from zlib import crc32

from emqx_mgmt.storage.integrity import Damaged


class RowChecksum:
    """Appends the CRC-32 of a row to its data. `columns` encodes the other columns, and raises struct.error or
    TypeError for values of another kind."""

    def __init__(self, table: str, columns: Callable[..., bytes], seed: int | None = None) -> None:
        self.table = table
        self._columns = columns
        self._seed = crc32(table.encode()) if seed is None else seed

    def append(self, data: bytes, *columns: Any) -> bytes:
        """The data with its checksum behind it."""
        return data + crc32(data, crc32(self._columns(*columns), self._seed)).to_bytes(4, "little")

    def strip(self, data: bytes, *columns: Any) -> bytes:
        """The data without the checksum. Raises Damaged where it is wrong."""
        self.verify([(data, *columns)])
        return data[:-4]

    def verify(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Checks rows of data and other columns. Raises Damaged at the first wrong one."""
        seed, bytes_of = self._seed, self._columns
        row: tuple[Any, ...] = ()
        try:
            for row in rows:
                if crc32(row[0], crc32(bytes_of(*row[1:]), seed)) != RESIDUE:
                    break
            else:
                return
        except (struct.error, TypeError):
            pass    # a column has become something else
        raise Damaged(f"the checksum of a row of {self.table} is wrong ({', '.join(map(repr, row[1:]))})")


def record_key(sid: int, key: bytes) -> bytes:
    """The beginning of a row's checksum: session number and key."""
    return RECORD_KEY.pack(sid, len(key)) + key


def no_columns(*columns: Any) -> bytes:
    """For tables of which no column counts."""
    return b""


RECORD_KEY = struct.Struct("<QI")
RESIDUE = 0x2144DF1C    # the CRC-32 of anything with its CRC-32 behind it
