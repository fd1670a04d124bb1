"""Connections to the MQTT listeners, each like a socket: plain, TLS, WebSocket, and WebSocket over TLS."""

from __future__ import annotations

import os
import socket
from typing import Any

from tests.listeners.secured import Secured

TRANSPORTS = ("tcp", "ssl", "ws", "wss")


def upgrade(path: str = "/mqtt", protocol: str = "mqtt", extra: str = "", host: str = "x") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {protocol}\r\n{extra}\r\n"
    ).encode()


def frame(first: int, payload: bytes = b"", mask: bytes = b"\x37\xfa\x21\x3d") -> bytes:
    """A masked frame; `first` is its first byte."""
    if len(payload) < 126:
        head = bytes([first, 0x80 | len(payload)])
    elif len(payload) < 65536:
        head = bytes([first, 0xFE]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + len(payload).to_bytes(8, "big")
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


class WebSocket:
    """The payloads of binary frames as a stream of bytes, over a socket or a TLS connection."""

    def __init__(self, sock: Any, **request: str) -> None:
        self.sock = sock
        self.buffer = bytearray()
        self.left = 0  # of the frame begun
        sock.sendall(upgrade(**request))
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.buffer = bytearray(rest)

    def sendall(self, data: bytes) -> None:
        self.sock.sendall(frame(0x82, data, os.urandom(4)))

    def send(self, data: bytes) -> int:
        """The whole frame is waited for, also by a socket that does not block: there is no half of one."""
        self.sock.settimeout(20)
        self.sendall(data)
        self.sock.setblocking(False)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes; none when the peer closed."""
        while not self.left:
            if not self._has(2):
                return b""
            opcode, length = self.buffer[0] & 15, self.buffer[1]
            extended = {126: 2, 127: 8}.get(length, 0)
            if not self._has(2 + extended):
                return b""
            if extended:
                length = int.from_bytes(self.buffer[2 : 2 + extended], "big")
            if opcode == 8:
                return b""
            assert opcode in (0, 2), f"a frame of kind {opcode}"
            del self.buffer[: 2 + extended]
            self.left = length
        if not self.buffer and not self._more():
            return b""
        data = bytes(self.buffer[: min(size, self.left)])
        del self.buffer[: len(data)]
        self.left -= len(data)
        return data

    def _has(self, count: int) -> bool:
        while len(self.buffer) < count:
            if not self._more():
                return False
        return True

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


def connection(secured: Secured, name: str) -> Any:
    """A connection to the listener of that name, ready for CONNECT."""
    port = secured.broker.mqtt_port if name == "tcp" else getattr(secured, name)
    encrypted = name in ("ssl", "wss")
    sock: Any = secured.tls(port) if encrypted else socket.create_connection(("127.0.0.1", port), timeout=20)
    if name not in ("ws", "wss"):
        return sock
    try:
        return WebSocket(sock)
    except BaseException:
        sock.close()
        raise
