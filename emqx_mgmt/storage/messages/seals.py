"""The checksums of the message store: each covers all of a row, and says which table it is a row of."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any
from zlib import crc32


class Damaged(Exception):
    """The file is not what was written; the text says where."""


class Seal:
    """Puts behind the data of a row the CRC-32 of it, of the row's other columns and of the table's name.

    `columns` makes bytes of the others, and raises struct.error or TypeError when they are none of the kind."""

    def __init__(self, table: str, columns: Callable[..., bytes], seed: int | None = None) -> None:
        self.table = table
        self._columns = columns
        self._seed = crc32(table.encode()) if seed is None else seed

    def close(self, data: bytes, *columns: Any) -> bytes:
        return data + crc32(data, crc32(self._columns(*columns), self._seed)).to_bytes(4, "little")

    def open(self, sealed: bytes, *columns: Any) -> bytes:
        """The data alone; raises Damaged when the checksum is not right."""
        try:
            data = sealed[:-4]
            if crc32(data, crc32(self._columns(*columns), self._seed)) == int.from_bytes(sealed[-4:], "little"):
                return data
        except (struct.error, TypeError):
            pass    # a column has become something else
        raise Damaged(f"the checksum of a row of {self.table} is wrong ({', '.join(map(repr, columns))})")


def fact(sid: int, key: bytes) -> bytes:
    return FACT.pack(sid, len(key)) + key


def nothing(*columns: Any) -> bytes:
    return b""


FACT = struct.Struct("<QI")
