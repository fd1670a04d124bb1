"""A broker that changes what passes through it: what tests of the load generator share."""

from __future__ import annotations

import socket
from collections.abc import Callable

Meddling = Callable[[list[bytes]], list[bytes]]


def receive(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        assert part, "the generator closed the connection"
        data += part
    return data


def damaged(frame: bytes) -> bytes:
    return frame[:-1] + bytes([frame[-1] ^ 1])
