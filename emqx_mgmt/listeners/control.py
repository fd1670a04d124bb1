"""The control socket in the data directory: the management API for the command line.

The kernel says who the peer is: root and the broker's user may connect.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import Any

NAME = "control.sock"
PEER_CREDENTIALS = struct.Struct("3i")  # process, user, group


def bind(sock: Any, data_dir: Path) -> None:
    """Replaces the socket of an earlier worker. The path goes through a descriptor, since the kernel limits a socket's
    path to 107 bytes."""
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(NAME, dir_fd=directory)
        sock.bind(short_path(directory))
        os.chmod(NAME, 0o600, dir_fd=directory)
    finally:
        os.close(directory)


def connect(data_dir: Path) -> socket.socket:
    """A connection to the broker of this directory. Raises OSError."""
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(short_path(directory))
    except OSError:
        sock.close()
        raise
    finally:
        os.close(directory)
    return sock


def short_path(directory: int) -> str:
    """A path of the socket that is short enough for the kernel, through an open descriptor of its directory."""
    return f"/proc/self/fd/{directory}/{NAME}"


def process_of(sock: Any) -> int:
    return peer_of(sock)[0]


def user_of(sock: Any) -> int:
    """The user id of the process at the other end."""
    return peer_of(sock)[1]


def peer_of(sock: Any) -> tuple[int, int, int]:
    """Process, user and group at the other end."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER_CREDENTIALS.size)
    process, user, group = PEER_CREDENTIALS.unpack(credentials)
    return process, user, group
