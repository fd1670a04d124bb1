"""Every wire vector, over a socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.codec import Client
from tests.wire_vectors import Vector, load, read_bytes

CONNECT = {
    3: '10 {("MQIsdp") 03 02 003c ("wire-vector")}',
    4: '10 {("MQTT") 04 02 003c ("wire-vector")}',
    5: '10 {("MQTT") 05 02 003c {} ("wire-vector")}',
}
CONNACK_TYPE, DISCONNECT_TYPE = 0x20, 0xE0


@pytest.fixture
def peer(broker: BrokerProcess) -> Iterator[Client]:
    with Client(broker.mqtt_port) as peer:
        yield peer


def assert_refused(peer: Client, vector: Vector) -> None:
    if vector.reply is not None:
        assert peer.raw_packet().hex(" ") == vector.reply.hex(" ")
    elif vector.version == 5:
        answer = peer.raw_packet()
        if vector.first:
            assert (answer[:1], answer[3:4]) == (bytes([CONNACK_TYPE]), bytes([vector.code or 0])), answer.hex(" ")
        else:
            assert (answer[:1], answer[2:3]) == (bytes([DISCONNECT_TYPE]), bytes([vector.code or 0])), answer.hex(" ")
    peer.assert_closed()


def assert_acknowledged(peer: Client, vector: Vector) -> None:
    answer = peer.raw_packet()
    assert (answer[0], answer[3]) == (CONNACK_TYPE, vector.code), answer.hex(" ")
    if vector.code == 0:
        peer.assert_open()
    else:
        peer.assert_closed()


@pytest.mark.parametrize("vector", load(), ids=str)
def test_broker(peer, vector):
    if not vector.first:
        peer.raw(read_bytes(CONNECT[vector.version]))
        assert peer.raw_packet()[0] == CONNACK_TYPE
    peer.raw(vector.data)
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
        assert peer.silent()
    else:  # close, end
        peer.assert_closed()
