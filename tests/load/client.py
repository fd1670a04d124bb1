"""A raw MQTT client: bytes on a socket, so that a test says exactly when something is read and when it is not."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.clients.raw import text, varint

WITHIN = 20.0  # seconds; a busy machine is no finding


def packet(first_byte: int, body: bytes) -> bytes:
    return bytes([first_byte]) + varint(len(body)) + body


def connect_packet(client_id: str, *, version: int = 4, clean: bool = True, keepalive: int = 0,
                   properties: bytes = b"") -> bytes:
    body = text("MQTT") + bytes([version, 2 if clean else 0]) + struct.pack(">H", keepalive)
    if version == 5:
        body += varint(len(properties)) + properties
    return packet(0x10, body + text(client_id))


def publish_packet(topic: str, payload: bytes, qos: int = 0, pid: int = 0, *, version: int = 4) -> bytes:
    head = text(topic) + (struct.pack(">H", pid) if qos else b"") + (b"\0" if version == 5 else b"")
    return packet(0x30 | qos << 1, head + payload)


@dataclass(slots=True)
class Published:
    topic: str
    payload: bytes
    qos: int
    pid: int


def parse_publish(first_byte: int, body: bytes, version: int = 4) -> Published:
    length = struct.unpack_from(">H", body)[0]
    at = 2 + length
    qos = first_byte >> 1 & 3
    pid = struct.unpack_from(">H", body, at)[0] if qos else 0
    at += 2 if qos else 0
    if version == 5:
        assert body[at] < 128
        at += 1 + body[at]
    return Published(body[2 : 2 + length].decode(), body[at:], qos, pid)


class Client:
    """A connection that blocks; `receive_buffer` makes the kernel hold little for a client that does not read."""

    def __init__(self, port: int, *, receive_buffer: int = 0, source: str = "127.0.0.1") -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source != "127.0.0.1":
            self.sock.bind((source, 0))
        self.sock.settimeout(WITHIN)
        self.sock.connect(("127.0.0.1", port))
        self.version = 4
        self.received = bytearray()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def connect(self, client_id: str, *, version: int = 4, clean: bool = True, properties: bytes = b"") -> int:
        """The return code of CONNACK."""
        self.version = version
        self.send(connect_packet(client_id, version=version, clean=clean, properties=properties))
        first_byte, body = self.next_packet()
        assert first_byte == 0x20, hex(first_byte)
        return body[1]

    def subscribe(self, topic: str, qos: int = 0) -> None:
        properties = b"\0" if self.version == 5 else b""
        self.send(packet(0x82, b"\0\1" + properties + text(topic) + bytes([qos])))
        first_byte, body = self.next_packet()
        assert (first_byte, body[-1]) == (0x90, qos)

    def publish(self, topic: str, payload: bytes, qos: int = 0, pid: int = 0) -> None:
        self.send(publish_packet(topic, payload, qos, pid, version=self.version))

    def puback(self, pid: int) -> None:
        self.send(struct.pack(">BBH", 0x40, 2, pid))

    def ping(self) -> None:
        """Returns once the broker has worked off everything sent before."""
        self.send(b"\xc0\x00")
        while self.next_packet()[0] != 0xD0:
            pass

    def next_packet(self) -> tuple[int, bytes]:
        """The next packet's first byte and body; EOFError when the broker closed."""
        while True:
            whole = self._take()
            if whole is not None:
                return whole
            self._read()

    def next_publish(self) -> Published:
        while True:
            first_byte, body = self.next_packet()
            if first_byte >> 4 == 3:
                return parse_publish(first_byte, body, self.version)

    def packets_now(self) -> Iterator[tuple[int, bytes]]:
        """What has come already, without waiting."""
        self.sock.settimeout(0.0)
        try:
            while True:
                self._read()
        except BlockingIOError:
            pass
        finally:
            self.sock.settimeout(WITHIN)
        while (whole := self._take()) is not None:
            yield whole

    def is_closed(self, within: float = WITHIN) -> bool:
        """Whether the broker closes the connection within that time; what it sends before is thrown away."""
        deadline = time.monotonic() + within
        try:
            while time.monotonic() < deadline:
                self.sock.settimeout(max(deadline - time.monotonic(), 0.01))
                if not self.sock.recv(65536):
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    def _read(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError("the broker closed the connection")
        self.received += data

    def _take(self) -> tuple[int, bytes] | None:
        data = self.received
        length = shift = 0
        for at in range(1, min(len(data), 5)):
            length |= (data[at] & 127) << shift
            shift += 7
            if not data[at] & 128:
                end = at + 1 + length
                if len(data) < end:
                    return None
                whole = data[0], bytes(data[at + 1 : end])
                del data[:end]
                return whole
        return None
