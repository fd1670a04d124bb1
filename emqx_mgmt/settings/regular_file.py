"""Files that an operator names: opening or reading a FIFO or a device could keep the broker waiting for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path) -> BinaryIO:
    """Opens a regular file, or /dev/null, which stands for an empty one. Raises OSError, also for any other kind of
    file."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) and not os.path.samestat(status, os.stat(os.devnull)):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return open(fd, "rb")


def read_text(path: str | Path) -> str:
    """The text of a file, without a byte-order mark. Raises OSError, and UnicodeDecodeError where it is not UTF-8."""
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig")
