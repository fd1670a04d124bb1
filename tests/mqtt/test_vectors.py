"""Every wire vector, over a socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.broker_process import BrokerProcess
from tests.wire_vectors import Vector, load, read_bytes

CONNECT = {
    3: '10 {("MQIsdp") 03 02 003c ("wire-vector")}',
    4: '10 {("MQTT") 04 02 003c ("wire-vector")}',
    5: '10 {("MQTT") 05 02 003c {} ("wire-vector")}',
}
PINGREQ, PINGRESP = b"\xc0\x00", b"\xd0\x00"
CONNACK_TYPE, DISCONNECT_TYPE = 0x20, 0xE0
PATIENCE = 10.0  # seconds until an answer counts as none
QUIET = 0.05  # seconds of silence that count as silence


class Peer:
    """A connection, read packet by packet."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read(self, count: int) -> bytes:
        """At most `count` bytes: fewer when the broker closes."""
        data = b""
        while len(data) < count:
            try:
                more = self.sock.recv(count - len(data))
            except ConnectionResetError:
                break
            if not more:
                break
            data += more
        return data

    def packet(self) -> bytes:
        """The next packet; b"" when the connection is closed."""
        header = self.read(2)
        while len(header) > 1 and header[-1] & 128:
            header += self.read(1)
        length = sum((byte & 127) << 7 * place for place, byte in enumerate(header[1:]))
        return header + self.read(length)

    def assert_open(self) -> None:
        """It answers a PINGREQ, after whatever it had to say before."""
        self.send(PINGREQ)
        while (packet := self.packet()) != PINGRESP:
            assert packet, "closed"
            assert packet[0] != DISCONNECT_TYPE, packet.hex(" ")

    def assert_closed(self) -> None:
        assert self.packet().hex(" ") == ""

    def assert_silent(self) -> None:
        self.sock.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            self.read(1)


@pytest.fixture
def peer(broker: BrokerProcess) -> Iterator[Peer]:
    peer = Peer(broker.mqtt_port)
    yield peer
    peer.sock.close()


def assert_refused(peer: Peer, vector: Vector) -> None:
    if vector.reply is not None:
        assert peer.packet().hex(" ") == vector.reply.hex(" ")
    elif vector.version == 5:
        answer = peer.packet()
        if vector.first:
            assert (answer[:1], answer[3:4]) == (bytes([CONNACK_TYPE]), bytes([vector.code or 0])), answer.hex(" ")
        else:
            assert (answer[:1], answer[2:3]) == (bytes([DISCONNECT_TYPE]), bytes([vector.code or 0])), answer.hex(" ")
    peer.assert_closed()


def assert_acknowledged(peer: Peer, vector: Vector) -> None:
    answer = peer.packet()
    assert (answer[0], answer[3]) == (CONNACK_TYPE, vector.code), answer.hex(" ")
    if vector.code == 0:
        peer.assert_open()
    else:
        peer.assert_closed()


@pytest.mark.parametrize("vector", load(), ids=str)
def test_broker(peer, vector):
    if not vector.first:
        peer.send(read_bytes(CONNECT[vector.version]))
        assert peer.packet()[0] == CONNACK_TYPE
    peer.send(vector.data)
    if vector.outcome == "accept":
        peer.assert_open()
    elif vector.outcome == "reply":
        assert peer.read(len(vector.reply)).hex(" ") == vector.reply.hex(" ")
        peer.assert_open()
    elif vector.outcome == "connack":
        assert_acknowledged(peer, vector)
    elif vector.outcome in ("refuse", "state"):
        assert_refused(peer, vector)
    elif vector.outcome == "wait":
        peer.assert_silent()
    else:  # close, end
        peer.assert_closed()
