"""Ways in which a file may be damaged, and copies to damage."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

SECTOR, FRAME = 512, 24 + 8192     # of a disk; of SQLite's log, with its header


def flip(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= chance.randrange(1, 256)


def zero(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data)) // SECTOR * SECTOR
    data[at:at + SECTOR] = bytes(len(data[at:at + SECTOR]))


def noise(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at + 16] = chance.randbytes(len(data[at:at + 16]))


def hole(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at:at + chance.choice([1, SECTOR, 8192, FRAME])]


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)):]


def copy(store: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(store, to))
