"""A client that encodes and decodes with the codec of the broker, and can send and read any bytes."""

from __future__ import annotations

import socket
from typing import Any

from router_ext.protocol.codec import decode, encode
from router_ext.protocol.packets import (
    Ack,
    Auth,
    Connect,
    Disconnect,
    Packet,
    PublishPacket,
    Subscribe,
    Unsubscribe,
    Will,
)

PATIENCE = 10.0  # seconds until an answer counts as none
QUIET = 0.15  # seconds of silence that count as silence
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
DISCONNECT = 0xE0
PUBACK, PUBREC, PUBREL, PUBCOMP = 4, 5, 6, 7
VERSIONS = (3, 4, 5)

__all__ = ["PUBACK", "PUBCOMP", "PUBREC", "PUBREL", "VERSIONS", "Client", "Will"]


class Client:
    """One connection. `connect` and what follows it use `version`; `raw` sends any bytes."""

    def __init__(self, port: int, version: int = 5) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.version = version
        self.buffer = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    # -- out ----------------------------------------------------------------------------------------

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send(self, packet: Packet) -> None:
        self.raw(encode(packet, self.version))

    def connect(self, client_id: str, clean_start: bool = True, **given: Any) -> Packet:
        """CONNECT, and the CONNACK that answers it (or whatever does)."""
        will = given.pop("will", None)
        keepalive = given.pop("keepalive", 0)
        username, password = given.pop("username", None), given.pop("password", None)
        self.send(Connect(client_id, self.version, clean_start=clean_start, keepalive=keepalive, will=will,
                          username=username, password=password, properties=given))
        return self.packet()

    def subscribe(self, *filters: str, options: int = 0, packet_id: int = 1, **properties: Any) -> Packet:
        self.send(Subscribe(packet_id, [(name, options) for name in filters], properties))
        return self.packet()

    def unsubscribe(self, *filters: str, packet_id: int = 2, **properties: Any) -> Packet:
        self.send(Unsubscribe(packet_id, list(filters), properties))
        return self.packet()

    def publish(self, topic: str, payload: bytes = b"", qos: int = 0, retain: bool = False, packet_id: int = 0,
                dup: bool = False, **properties: Any) -> None:
        self.send(PublishPacket(topic, payload, qos, retain, dup, packet_id or (10 if qos else 0), properties))

    def ack(self, kind: int, packet_id: int, code: int = 0) -> None:
        self.send(Ack(kind, packet_id, code))

    def auth(self, code: int, **properties: Any) -> None:
        self.send(Auth(code, properties))

    def disconnect(self, code: int = 0, **properties: Any) -> None:
        self.send(Disconnect(code, properties))

    # -- in -----------------------------------------------------------------------------------------

    def packet(self) -> Any:
        """The next packet; None when the connection is closed."""
        raw = self.raw_packet()
        if not raw:
            return None
        header = 2
        while raw[header - 1] & 128:
            header += 1
        return decode(raw[0], raw[header:], self.version, from_server=True)

    def raw_packet(self) -> bytes:
        """The bytes of the next packet; b"" when the connection is closed."""
        while True:
            length, size = self._length()
            if length is not None and len(self.buffer) >= size + length:
                packet, self.buffer = self.buffer[:size + length], self.buffer[size + length:]
                return packet
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                assert self.buffer == b"", self.buffer.hex(" ")
                return b""
            self.buffer += more

    def _length(self) -> tuple[int | None, int]:
        length = 0
        for place, byte in enumerate(self.buffer[1:5]):
            length |= (byte & 127) << 7 * place
            if byte < 128:
                return length, place + 2
        return None, 0

    def packets(self) -> list[Any]:
        """What comes until the broker has answered a PINGREQ. Connections are not ordered among each other: ask the
        one that published first, then the one that should have received."""
        self.raw(PINGREQ)
        found = []
        while (packet := self.packet()) is not None:
            if type(packet).__name__ == "Pingresp":
                return found
            found.append(packet)
        raise AssertionError(f"closed after {found}")

    def silent(self) -> bool:
        """Nothing comes for a while."""
        if self.buffer:
            return False
        self.sock.settimeout(QUIET)
        try:
            more = self.sock.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE)
        self.buffer += more
        return False

    def read(self, count: int) -> bytes:
        """The next `count` bytes; fewer when the broker closes."""
        while len(self.buffer) < count and (more := self.sock.recv(65536)):
            self.buffer += more
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def assert_open(self) -> None:
        """It answers a PINGREQ, after whatever it had to say before."""
        self.raw(PINGREQ)
        while (packet := self.raw_packet()) != PINGRESP:
            assert packet, "closed"
            assert packet[0] != DISCONNECT, packet.hex(" ")

    def assert_closed(self) -> None:
        packet = self.packet()
        assert packet is None, packet
