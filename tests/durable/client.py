"""A small MQTT client that does only what it is told, packet by packet, and keeps no state of its own."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.clients.raw import Closed, text, varint

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = (
    2, 3, 4, 5, 6, 7, 9, 11, 13, 14)


@dataclass(slots=True)
class Packet:
    kind: int
    flags: int
    body: bytes
    topic: str = ""
    pid: int = 0
    payload: bytes = b""
    reason: int = 0

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)


class Client:
    """`expiry` in seconds makes an MQTT 5 session persistent; before MQTT 5 `clean=False` does. `sock` is a connection
    that is there already, plain or not."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, port: int, client_id: str, *, version: int = 4, clean: bool = False, expiry: int = 0,
                 will: tuple[str, bytes, int] | None = None, within: float = 20.0, sock: Any = None) -> None:
        self.version = version
        self.sock = sock or socket.create_connection(("127.0.0.1", port), timeout=within)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened.append(self)
        self.within = within
        self.buffer = b""
        flags = (2 if clean else 0) | (0x0C if will else 0)
        body = text("MQTT") + bytes([version, flags]) + struct.pack(">H", 0)
        if version == 5:
            properties = b"\x11" + struct.pack(">I", expiry)
            body += varint(len(properties)) + properties
        body += text(client_id)
        if will:
            topic, payload, delay = will
            if version == 5:
                properties = b"\x18" + struct.pack(">I", delay)
                body += varint(len(properties)) + properties
            body += text(topic) + struct.pack(">H", len(payload)) + payload
        self.write(0x10, body)
        connack = self.read(CONNACK)
        self.present = bool(connack.body[0] & 1)
        self.code = connack.body[1]

    def write(self, first: int, body: bytes) -> None:
        self.sock.sendall(bytes([first]) + varint(len(body)) + body)

    def close(self) -> None:
        """Without DISCONNECT."""
        self.sock.close()

    def disconnect(self) -> None:
        self.write(0xE0, b"")
        self.sock.close()

    # -- packets out ----------------------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int = 0, pid: int = 0, *, retain: bool = False,
                dup: bool = False) -> None:
        head = text(topic) + (struct.pack(">H", pid) if qos else b"") + (b"\0" if self.version == 5 else b"")
        self.write(0x30 | qos << 1 | retain | dup << 3, head + payload)

    def ack(self, kind: int, pid: int) -> None:
        self.write(kind << 4 | (2 if kind == PUBREL else 0), struct.pack(">H", pid))

    def subscribe(self, topic: str, qos: int, pid: int = 1) -> Packet:
        properties = b"\0" if self.version == 5 else b""
        self.write(0x82, struct.pack(">H", pid) + properties + text(topic) + bytes([qos]))
        return self.read(SUBACK)

    def unsubscribe(self, topic: str, pid: int = 1) -> Packet:
        properties = b"\0" if self.version == 5 else b""
        self.write(0xA2, struct.pack(">H", pid) + properties + text(topic))
        return self.read(UNSUBACK)

    # -- packets in -----------------------------------------------------------------------------------

    def receive(self, within: float | None = None) -> Packet | None:
        """The next packet; None when none comes in time. Raises Closed."""
        deadline = time.monotonic() + (self.within if within is None else within)
        while True:
            packet = self._take()
            if packet is not None:
                return packet
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return None
            except OSError as error:
                raise Closed from error
            if not data:
                raise Closed
            self.buffer += data

    def read(self, kind: int) -> Packet:
        """The next packet of that kind; others before it are an error."""
        packet = self.receive()
        assert packet is not None, f"no packet of kind {kind} came"
        assert packet.kind == kind, f"{packet} instead of kind {kind}"
        return packet

    def read_message(self) -> Packet:
        """The next packet, a PUBLISH of QoS 1, which is acknowledged."""
        packet = self.read(PUBLISH)
        self.ack(PUBACK, packet.pid)
        return packet

    def _take(self) -> Packet | None:
        length, at, shift = 0, 1, 0
        while True:
            if at >= len(self.buffer):
                return None
            byte = self.buffer[at]
            length |= (byte & 127) << shift
            shift += 7
            at += 1
            if byte < 128:
                break
        if len(self.buffer) < at + length:
            return None
        first, body = self.buffer[0], self.buffer[at:at + length]
        self.buffer = self.buffer[at + length:]
        return self._parse(Packet(first >> 4, first & 15, body))

    def _parse(self, packet: Packet) -> Packet:
        body = packet.body
        if packet.kind == PUBLISH:
            n = struct.unpack_from(">H", body)[0]
            packet.topic = body[2:2 + n].decode()
            at = 2 + n
            if packet.qos:
                packet.pid = struct.unpack_from(">H", body, at)[0]
                at += 2
            if self.version == 5:
                at += 1 + body[at]
            packet.payload = body[at:]
        elif packet.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
            packet.pid = struct.unpack_from(">H", body)[0]
            packet.reason = body[2] if len(body) > 2 else 0
        elif packet.kind in (SUBACK, UNSUBACK):
            packet.pid = struct.unpack_from(">H", body)[0]
            packet.reason = body[-1] if len(body) > 2 else 0
        elif packet.kind == DISCONNECT:
            packet.reason = body[0] if body else 0
        return packet
