"""A client of bare packets, written from the specification and sharing no code with the broker."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)
WITHIN = 20.0  # seconds: the machine may be busy
BUSY = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)  # the socket has nothing, or takes nothing

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


def packet_bytes(first: int, body: bytes) -> bytes:
    """A packet: the byte it begins with, the remaining length, the rest."""
    return bytes([first]) + varint(len(body)) + body


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


def connect_packet(client_id: str = "", version: int = 4, clean: bool = True, keepalive: int = 0,
                   will: tuple[str, bytes, int, bool] | None = None, will_props: dict[str, Any] | None = None,
                   username: str | None = None, password: bytes | None = None, **props: Any) -> bytes:
    """`will` is topic, message, QoS and RETAIN. MQTT 5 alone has properties."""
    flags = 2 * clean
    payload = text(client_id)
    if will is not None:
        topic, message, qos, retain = will
        flags |= 4 | qos << 3 | retain << 5
        payload += (properties(will_props or {}) if version == 5 else b"") + text(topic) + text(message)
    if username is not None:
        flags |= 0x80
        payload += text(username)
    if password is not None:
        flags |= 0x40
        payload += text(password)
    head = text("MQIsdp" if version == 3 else "MQTT") + struct.pack("!BBH", version, flags, keepalive)
    return packet_bytes(0x10, head + (properties(props) if version == 5 else b"") + payload)


def publish_packet(topic: str, payload: bytes = b"", qos: int = 0, version: int = 4, retain: bool = False,
                   pid: int = 0, dup: bool = False, **props: Any) -> bytes:
    head = text(topic) + (struct.pack("!H", pid) if qos else b"") + (properties(props) if version == 5 else b"")
    return packet_bytes(0x30 | dup << 3 | qos << 1 | retain, head + payload)


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
    """One connection. `pump` lets a broker in this process work; without it the socket is waited for. A context manager
    that leaves without DISCONNECT."""

    opened: ClassVar[list[Raw]] = []  # by `dial`; closed after each test

    def __init__(self, sock: Any, version: int = 5, pump: Callable[[], None] | None = None) -> None:
        self.sock = Socket(fileno=sock.detach()) if type(sock) is socket.socket else sock
        self.version, self.pump = version, pump
        self.sock.setblocking(False)
        self.inbox = bytearray()
        self.early: list[Packet] = []  # came while another packet was waited for
        self.pid = 0
        self.connack = Packet(CONNACK)

    @classmethod
    def dial(cls, port: int, version: int = 5, *, receive_buffer: int = 0) -> Raw:
        """A connection that has sent nothing. With a small `receive_buffer` the system holds little for a client that
        does not read."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(WITHIN)
        sock.connect(("127.0.0.1", port))
        client = cls(sock, version)
        cls.opened.append(client)
        return client

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    # -- bytes --------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        deadline = time.monotonic() + WITHIN
        left = memoryview(data)
        while left:
            try:
                left = left[self.sock.send(left):]
            except BUSY:
                assert time.monotonic() < deadline, "the broker reads nothing"
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        if self.pump is not None:
            self.pump()
        else:
            poll = select.poll()
            poll.register(self.sock, event)
            poll.poll(200)

    def read(self) -> bool:
        """Whether anything has come, which is in the inbox then; Closed when the broker closed the connection."""
        try:
            data = self.sock.recv(1 << 20)
        except BUSY:
            return False
        except OSError as error:
            raise Closed from error
        if not data:
            raise Closed
        self.inbox += data
        return True

    def buffered(self) -> Packet | None:
        """The next packet of the inbox, once it is there to its end."""
        length = shift = 0
        for at in range(1, min(len(self.inbox), 5)):
            length |= (self.inbox[at] & 127) << shift
            shift += 7
            if self.inbox[at] < 128:
                end = at + 1 + length
                if len(self.inbox) < end:
                    return None
                first, body = self.inbox[0], bytes(self.inbox[at + 1:end])
                del self.inbox[:end]
                return decoded(first, body, self.version)
        return None

    # -- packets in ---------------------------------------------------------------------------------

    def receive(self, within: float = WITHIN) -> Packet | None:
        """The next packet; None when none comes in time, Closed when the broker closed the connection."""
        return self.early.pop(0) if self.early else self._receive(within)

    def _receive(self, within: float = WITHIN) -> Packet | None:
        deadline = time.monotonic() + within
        while (found := self.buffered()) is None:
            if not self.read():
                if time.monotonic() >= deadline:
                    return None
                self._wait(select.POLLIN)
        return found

    def packet(self, within: float = WITHIN) -> Packet:
        """The next packet, which has to come."""
        found = self.receive(within)
        assert found is not None, "no packet came"
        return found

    def expect(self, kind: int, **fields: Any) -> Packet:
        packet = self.packet()
        assert packet.kind == kind, packet
        for name, value in fields.items():
            assert getattr(packet, name) == value, (name, packet)
        return packet

    def answer(self, kind: int, pid: int) -> Packet:
        """The packet that answers one of ours; others that come before it are kept for later."""
        while (packet := self._receive()) is not None and packet.kind != kind:
            assert packet.kind == PUBLISH, packet
            self.early.append(packet)
        assert packet is not None, "no answer came"
        assert packet.pid == pid, packet
        return packet

    def silent(self) -> None:
        """Nothing else is on its way: the answer to a PINGREQ comes next."""
        self.send(b"\xc0\x00")
        self.expect(PINGRESP)

    def ping(self) -> None:
        """Returns once the broker has handled everything sent before; what it sends until then is dropped."""
        self.send(b"\xc0\x00")
        while self.packet().kind != PINGRESP:
            pass

    def rest(self) -> list[Packet]:
        """The packets that come until the broker closes the connection, which it has to do."""
        found: list[Packet] = []
        try:
            while (packet := self.receive()) is not None:
                found.append(packet)
        except Closed:
            return found
        raise AssertionError(f"{found} came, and no end of the connection")

    def closed(self) -> None:
        """The broker closes the connection and sends nothing before."""
        found = self.rest()
        assert not found, found

    def drop(self) -> None:
        """Gone without DISCONNECT."""
        self.sock.close()

    # -- packets out --------------------------------------------------------------------------------

    def props(self, values: dict[str, Any]) -> bytes:
        return properties(values) if self.version == 5 else b""

    def connect_packet(self, client_id: str = "", **options: Any) -> bytes:
        return connect_packet(client_id, self.version, **options)

    def publish_packet(self, topic: str, payload: bytes = b"", qos: int = 0, **options: Any) -> bytes:
        return publish_packet(topic, payload, qos, self.version, **options)

    def connect(self, client_id: str = "", code: int = 0, **options: Any) -> Raw:
        """CONNECT, and the CONNACK that answers it, whose code has to be `code`."""
        self.send(self.connect_packet(client_id, **options))
        self.connack = self.expect(CONNACK, code=code)
        return self

    def next_pid(self) -> int:
        self.pid = self.pid % 65535 + 1
        return self.pid

    def send_publish(self, topic: str, payload: bytes = b"", qos: int = 0, pid: int = 0, **options: Any) -> None:
        """Sends it and waits for nothing."""
        self.send(self.publish_packet(topic, payload, qos, pid=pid, **options))

    def publish(self, topic: str, payload: bytes = b"", qos: int = 0, **options: Any) -> int:
        """Sends it and waits for the whole exchange; returns the reason code of PUBACK or PUBREC."""
        pid = self.next_pid() if qos else 0
        self.send_publish(topic, payload, qos, pid, **options)
        if qos == 0:
            return 0
        code = self.answer(PUBACK if qos == 1 else PUBREC, pid).code
        if qos == 2 and code < 0x80:
            self.ack(PUBREL, pid)
            assert self.answer(PUBCOMP, pid).code == 0
        return code

    def ack(self, kind: int, pid: int, code: int = 0) -> None:
        body = struct.pack("!H", pid) + (bytes([code]) if code else b"")
        self.send(packet_bytes(kind << 4 | (2 if kind == PUBREL else 0), body))

    def subscribe(self, *filters: str | tuple[str, int], qos: int = 0, **props: Any) -> list[int]:
        """Filters as text, or with their option byte; returns the codes of SUBACK."""
        pid = self.next_pid()
        pairs: Iterable[tuple[str, int]] = [(one, qos) if isinstance(one, str) else one for one in filters]
        body = b"".join(text(name) + bytes([options]) for name, options in pairs)
        self.send(packet_bytes(0x82, struct.pack("!H", pid) + self.props(props) + body))
        return self.answer(SUBACK, pid).codes

    def unsubscribe(self, *filters: str) -> list[int]:
        pid = self.next_pid()
        self.send(packet_bytes(0xA2, struct.pack("!H", pid) + self.props({}) + b"".join(map(text, filters))))
        return self.expect(UNSUBACK, pid=pid).codes

    def disconnect(self, code: int = 0, **props: Any) -> None:
        body = bytes([code]) + self.props(props) if self.version == 5 and (code or props) else b""
        self.send(packet_bytes(0xE0, body))
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


def connected(port: int, client_id: str, *, version: int = 4, clean: bool = False, **options: Any) -> Raw:
    """A connected client. Its session outlives it by `session_expiry` in MQTT 5, before that unless it is `clean`."""
    return Raw.dial(port, version).connect(client_id, clean=clean, **options)
