"""A client of bare packets, written from the specification and sharing no code with the broker."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)
WITHIN = 20.0  # seconds: the machine may be busy

# Property id: name and type (MQTT 5.0, section 2.2.2.2).
PROPERTIES = {
    0x01: ("payload_format", "B"), 0x02: ("message_expiry", "I"), 0x03: ("content_type", "s"),
    0x08: ("response_topic", "s"), 0x09: ("correlation_data", "b"), 0x0B: ("subscription_id", "v"),
    0x11: ("session_expiry", "I"), 0x12: ("assigned_client_id", "s"), 0x13: ("server_keepalive", "H"),
    0x15: ("auth_method", "s"), 0x16: ("auth_data", "b"), 0x17: ("request_problem", "B"),
    0x18: ("will_delay", "I"), 0x19: ("request_response", "B"), 0x1A: ("response_information", "s"),
    0x1C: ("server_reference", "s"), 0x1F: ("reason", "s"), 0x21: ("receive_maximum", "H"),
    0x22: ("topic_alias_maximum", "H"), 0x23: ("topic_alias", "H"), 0x24: ("maximum_qos", "B"),
    0x25: ("retain_available", "B"), 0x26: ("user_property", "p"), 0x27: ("maximum_packet_size", "I"),
    0x28: ("wildcard_available", "B"), 0x29: ("subscription_ids_available", "B"), 0x2A: ("shared_available", "B"),
}
IDS = {name: (number, kind) for number, (name, kind) in PROPERTIES.items()}
REPEATED = ("user_property", "subscription_id")


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def properties(values: dict[str, Any]) -> bytes:
    """Encoded with the length in front."""
    out = b""
    for name, value in values.items():
        number, kind = IDS[name]
        for one in value if isinstance(value, list) else [value]:
            out += varint(number) + encoded(kind, one)
    return varint(len(out)) + out


def encoded(kind: str, value: Any) -> bytes:
    if kind in "sb":
        return text(value)
    if kind == "p":
        return text(value[0]) + text(value[1])
    return varint(value) if kind == "v" else struct.pack("!" + kind, value)


@dataclass
class Reader:
    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), "the packet is shorter than it says"
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, kind: str) -> int:
        return struct.unpack("!" + kind, self.take(struct.calcsize("!" + kind)))[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.number("B")
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def bytes(self) -> bytes:
        return self.take(self.number("H"))

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def properties(self) -> dict[str, Any]:
        end = self.varint()
        end += self.at
        found: dict[str, Any] = {}
        while self.at < end:
            name, kind = PROPERTIES[self.varint()]
            value = self.value(kind)
            if name in REPEATED:
                found.setdefault(name, []).append(value)
            else:
                assert name not in found, f"{name} is there twice"
                found[name] = value
        assert self.at == end
        return found

    def value(self, kind: str) -> Any:
        if kind == "s":
            return self.bytes().decode()
        if kind == "b":
            return self.bytes()
        if kind == "p":
            return self.bytes().decode(), self.bytes().decode()
        return self.varint() if kind == "v" else self.number(kind)


@dataclass
class Packet:
    """What came from the broker. `codes` has the reason code, or those of SUBACK and UNSUBACK."""

    kind: int
    flags: int = 0
    pid: int = 0
    topic: str = ""
    payload: bytes = b""
    codes: list[int] = field(default_factory=list)
    present: bool = False
    props: dict[str, Any] = field(default_factory=dict)

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def dup(self) -> bool:
        return bool(self.flags & 8)

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def code(self) -> int:
        return self.codes[0] if self.codes else 0


def decoded(first: int, body: bytes, version: int) -> Packet:
    packet, reader = Packet(first >> 4, first & 15), Reader(body)
    if packet.kind == PUBLISH:
        packet.topic = reader.bytes().decode()
        packet.pid = reader.number("H") if packet.qos else 0
        packet.props = reader.properties() if version == 5 else {}
        packet.payload = reader.rest()
    elif packet.kind == CONNACK:
        packet.present = reader.number("B") == 1
        packet.codes = [reader.number("B")]
        packet.props = reader.properties() if version == 5 and reader.at < len(body) else {}
    elif packet.kind in (SUBACK, UNSUBACK):
        packet.pid = reader.number("H")
        packet.props = reader.properties() if version == 5 else {}
        packet.codes = list(reader.rest())
    elif packet.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        packet.pid = reader.number("H")
        packet.codes = [reader.number("B") if reader.at < len(body) else 0]
    elif packet.kind in (DISCONNECT, AUTH):
        packet.codes = [reader.number("B") if body else 0]
        packet.props = reader.properties() if reader.at < len(body) else {}
    return packet


class Closed(Exception):
    """The broker closed the connection."""


class Socket(socket.socket):
    """Closed without a warning when a test lets go of it: connections that end so are what some tests are about."""

    def __del__(self) -> None:
        self.close()


class Raw:
    """One connection. `pump` lets a broker in this process work; without it the socket is waited for."""

    def __init__(self, sock: socket.socket, version: int = 5, pump: Callable[[], None] | None = None) -> None:
        self.sock, self.version, self.pump = Socket(fileno=sock.detach()), version, pump
        self.sock.setblocking(False)
        self.inbox = b""
        self.early: list[Packet] = []  # came while another packet was waited for
        self.pid = 0
        self.connack = Packet(CONNACK)

    # -- bytes --------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        deadline = time.monotonic() + WITHIN
        while data:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                self._wait(deadline, write=True)

    def _wait(self, deadline: float, write: bool = False) -> None:
        assert time.monotonic() < deadline, "the broker did nothing for too long"
        if self.pump is not None:
            self.pump()
        else:
            select.select([] if write else [self.sock], [self.sock] if write else [], [], 0.2)

    def packet(self, within: float = WITHIN) -> Packet:
        """The next packet; Closed when the broker closed the connection, AssertionError when nothing comes."""
        return self.early.pop(0) if self.early else self._receive(within)

    def _receive(self, within: float = WITHIN) -> Packet:
        deadline = time.monotonic() + within
        while True:
            found = self._framed()
            if found is not None:
                return found
            if not self._read():
                self._wait(deadline)

    def _read(self) -> bool:
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            raise Closed from None
        if not data:
            raise Closed
        self.inbox += data
        return True

    def _framed(self) -> Packet | None:
        length = shift = 0
        for at in range(1, min(len(self.inbox), 5)):
            length |= (self.inbox[at] & 127) << shift
            shift += 7
            if self.inbox[at] < 128:
                end = at + 1 + length
                if len(self.inbox) < end:
                    return None
                first, body, self.inbox = self.inbox[0], self.inbox[at + 1:end], self.inbox[end:]
                return decoded(first, body, self.version)
        return None

    def expect(self, kind: int, **fields: Any) -> Packet:
        packet = self.packet()
        assert packet.kind == kind, packet
        for name, value in fields.items():
            assert getattr(packet, name) == value, (name, packet)
        return packet

    def answer(self, kind: int, pid: int) -> Packet:
        """The packet that answers one of ours; others that come before it are kept for later."""
        while (packet := self._receive()).kind != kind:
            assert packet.kind == PUBLISH, packet
            self.early.append(packet)
        assert packet.pid == pid, packet
        return packet

    def silent(self) -> None:
        """Nothing else is on its way: the answer to a PINGREQ comes next."""
        self.send(b"\xc0\x00")
        self.expect(PINGRESP)

    def closed(self) -> None:
        try:
            packet = self.packet()
        except Closed:
            return
        raise AssertionError(f"{packet} instead of the end of the connection")

    def drop(self) -> None:
        """Gone without DISCONNECT."""
        self.sock.close()

    # -- packets ------------------------------------------------------------------------------------

    def frame(self, first: int, body: bytes) -> bytes:
        return bytes([first]) + varint(len(body)) + body

    def props(self, values: dict[str, Any] | None) -> bytes:
        return properties(values or {}) if self.version == 5 else b""

    def connect_packet(self, client_id: str = "", clean: bool = True, keepalive: int = 0,
                       will: tuple[str, bytes, int, bool] | None = None, will_props: dict[str, Any] | None = None,
                       username: str | None = None, password: bytes | None = None, **props: Any) -> bytes:
        flags = 2 * clean
        payload = text(client_id)
        if will is not None:
            topic, message, qos, retain = will
            flags |= 4 | qos << 3 | retain << 5
            payload += self.props(will_props) + text(topic) + text(message)
        if username is not None:
            flags |= 0x80
            payload += text(username)
        if password is not None:
            flags |= 0x40
            payload += text(password)
        name = "MQIsdp" if self.version == 3 else "MQTT"
        head = text(name) + struct.pack("!BBH", self.version, flags, keepalive)
        return self.frame(0x10, head + self.props(props) + payload)

    def connect(self, client_id: str = "", code: int = 0, **options: Any) -> Raw:
        self.send(self.connect_packet(client_id, **options))
        self.connack = self.expect(CONNACK, code=code)
        return self

    def next_pid(self) -> int:
        self.pid = self.pid % 65535 + 1
        return self.pid

    def publish_packet(self, topic: str, payload: bytes = b"", qos: int = 0, retain: bool = False, pid: int = 0,
                       dup: bool = False, **props: Any) -> bytes:
        identifier = struct.pack("!H", pid) if qos else b""
        return self.frame(0x30 | dup << 3 | qos << 1 | retain, text(topic) + identifier + self.props(props) + payload)

    def publish(self, topic: str, payload: bytes = b"", qos: int = 0, **options: Any) -> int:
        """Sends it and waits for the whole exchange; returns the reason code of PUBACK or PUBREC."""
        pid = self.next_pid() if qos else 0
        self.send(self.publish_packet(topic, payload, qos, pid=pid, **options))
        if qos == 0:
            return 0
        code = self.answer(PUBACK if qos == 1 else PUBREC, pid).code
        if qos == 2 and code < 0x80:
            self.ack(PUBREL, pid)
            assert self.answer(PUBCOMP, pid).code == 0
        return code

    def ack(self, kind: int, pid: int, code: int = 0) -> None:
        body = struct.pack("!H", pid) + (bytes([code]) if code else b"")
        self.send(self.frame(kind << 4 | (2 if kind == PUBREL else 0), body))

    def subscribe(self, *filters: str | tuple[str, int], qos: int = 0, **props: Any) -> list[int]:
        """Filters as text, or with their option byte; returns the codes of SUBACK."""
        pid = self.next_pid()
        pairs: Iterable[tuple[str, int]] = [(one, qos) if isinstance(one, str) else one for one in filters]
        body = b"".join(text(name) + bytes([options]) for name, options in pairs)
        self.send(self.frame(0x82, struct.pack("!H", pid) + self.props(props) + body))
        return self.answer(SUBACK, pid).codes

    def unsubscribe(self, *filters: str) -> list[int]:
        pid = self.next_pid()
        self.send(self.frame(0xA2, struct.pack("!H", pid) + self.props({}) + b"".join(map(text, filters))))
        return self.expect(UNSUBACK, pid=pid).codes

    def disconnect(self, code: int = 0, **props: Any) -> None:
        body = bytes([code]) + self.props(props) if self.version == 5 and (code or props) else b""
        self.send(self.frame(0xE0, body))
        self.closed()

    def message(self) -> Packet:
        """The next message, acknowledged."""
        packet = self.expect(PUBLISH)
        if packet.qos == 1:
            self.ack(PUBACK, packet.pid)
        elif packet.qos == 2:
            self.ack(PUBREC, packet.pid)
            self.answer(PUBREL, packet.pid)
            self.ack(PUBCOMP, packet.pid)
        return packet
