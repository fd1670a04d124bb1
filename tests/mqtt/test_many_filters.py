"""SUBSCRIBE and UNSUBSCRIBE of thousands of filters: one packet, and nobody else waits for it."""

from __future__ import annotations

import socket
import struct

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PINGRESP, SUBACK, UNSUBACK, Packet, Raw, packet_bytes, text

MANY = 80_000  # about as many as a packet of 1 MB holds
SOME = 3     # on a busy machine the client is seldom on; one or two would be answered before and behind it all


def connected(broker: BrokerProcess, client_id: str) -> Raw:
    return Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)), 4).connect(client_id)


def subscribe_packet(client: Raw, names: list[str]) -> bytes:
    return packet_bytes(0x82, struct.pack("!H", 1) + b"".join(text(name) + b"\1" for name in names))


def pings_until(answered: Raw, other: Raw) -> tuple[Packet, int]:
    """The next packet of the one, and how many PINGREQs of the other were answered before it came."""
    pings = 0
    while True:
        answered.read()
        packet = answered.buffered()
        if packet is not None:
            return packet, pings
        other.silent()
        pings += 1


def test_others_have_their_turn(broker: BrokerProcess):
    """Issued by the client in this order, and answered so [MQTT-4.6.0-2]: what is behind waits until it is done."""
    names = [f"m/{i:x}" for i in range(MANY)]
    reader, other = connected(broker, "many"), connected(broker, "other")
    other.publish("m/7", b"kept", 1, retain=True)
    reader.send(subscribe_packet(reader, names) + reader.publish_packet("m/9", b"mine", 0))
    suback, pings = pings_until(reader, other)
    assert (suback.kind, suback.codes) == (SUBACK, [1] * MANY)
    assert pings > SOME
    assert {(packet.topic, packet.payload, packet.retain) for packet in (reader.message(), reader.message())} == {
        ("m/7", b"kept", True), ("m/9", b"mine", False)}
    reader.send(packet_bytes(0xA2, struct.pack("!H", 2) + b"".join(text(name) for name in names)) + b"\xc0\0")
    unsuback, pings = pings_until(reader, other)
    assert unsuback.kind == UNSUBACK
    assert pings > SOME
    reader.expect(PINGRESP)
    other.publish("m/7", b"", 1, retain=True)
    reader.silent()


def test_a_client_that_is_kicked_in_the_middle_leaves_nothing(broker: BrokerProcess):
    def subscriptions() -> int:
        return int(broker.api("GET", "stats/").json()[0]["subscriptions/count"])

    before = subscriptions()
    leaver = connected(broker, "leaver")
    leaver.send(subscribe_packet(leaver, [f"l/{i:x}" for i in range(MANY)]))
    wait_until(lambda: subscriptions() > before, what="the first subscriptions")
    assert broker.api("DELETE", "connections/leaver").status_code == 200
    leaver.closed()
    wait_until(lambda: subscriptions() == before, what="the end of its subscriptions")
