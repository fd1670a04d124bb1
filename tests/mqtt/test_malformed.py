"""Every byte of a packet of every kind, made wrong in several ways: the broker reacts as a model says that shares
nothing with it, and nobody else notices [MQTT-4.13.1-1]; 3.1.1: [MQTT-4.8.0-1]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.clients.raw import Closed, Raw, packet_bytes, text
from tests.harness import Bench
from tests.mqtt.model import Model

CHANGES = (lambda byte: byte ^ 0x01, lambda byte: byte ^ 0x80, lambda _: 0x00, lambda _: 0xFF, lambda byte: byte + 1)
LONG = "ä/long/enough/to/step/by/eight/bytes"
ALL = {"session_expiry": 9, "receive_maximum": 5, "maximum_packet_size": 99999, "topic_alias_maximum": 3,
       "request_response": 1, "request_problem": 1, "user_property": ("k", "v")}
OF_A_MESSAGE = {"payload_format": 1, "message_expiry": 60, "content_type": "t/p", "response_topic": "r",
                "correlation_data": b"\0", "user_property": [("k", "v"), ("k", "")]}


def firsts(raw: Raw) -> Iterator[bytes]:
    """CONNECT in several forms."""
    five = raw.version == 5
    yield raw.connect_packet("c")
    yield raw.connect_packet("c", keepalive=300, username="user", password=b"\xff", **(ALL if five else {}))
    yield raw.connect_packet("", will=("w/t", b"gone", 1, True), will_props={"will_delay": 3} | OF_A_MESSAGE)


def others(raw: Raw) -> Iterator[bytes]:
    """What a connected client sends."""
    five = raw.version == 5
    props = raw.props({"user_property": ("k", "v")})
    for qos in (0, 1, 2):
        yield raw.publish_packet(LONG, b"payload", qos, retain=qos == 1, pid=7, **(OF_A_MESSAGE if five else {}))
    for first in (0x40, 0x50, 0x62, 0x70):
        yield packet_bytes(first, b"\1\2")
        if five:
            yield packet_bytes(first, b"\1\2\x92" + raw.props({"reason": "why"}) if first & 0x20 else b"\1\2\x87\0")
    subscription = raw.props({"subscription_id": 7, "user_property": ("k", "v")})
    yield packet_bytes(0x82, b"\1\2" + subscription + text("a/+/ü/#") + b"\2" + text("$share/g/t") + b"\1"
                    + text(LONG) + b"\0")
    yield packet_bytes(0xA2, b"\1\2" + props + text("a/+/ü/#") + text("$share/g/t"))
    yield b"\xc0\0"
    yield packet_bytes(0xE0, b"\4" + raw.props({"reason": "why"}) if five else b"")
    if five:
        yield packet_bytes(0xF0, b"\x18" + raw.props({"auth_method": "M", "auth_data": b"d"}))
    for first in (0x00, 0x20, 0x90, 0xB0, 0xD0):
        yield packet_bytes(first, b"")


def spoiled(packet: bytes) -> Iterator[bytes]:
    yield packet
    for at, byte in enumerate(packet):
        for change in CHANGES:
            changed = change(byte) & 0xFF
            if changed != byte:
                yield packet[:at] + bytes([changed]) + packet[at + 1:]


def reaction(bench: Bench, client: Raw) -> str:
    """`open` when a PINGREQ is answered, `short` when it is taken for the rest of a packet."""
    with suppress(OSError):
        client.send(b"\xc0\0")
    bench.turn()
    try:
        while client.read():
            bench.turn()
    except Closed:
        return "closed"
    return "open" if client.inbox.endswith(b"\xd0\0") else "short"


def compare(bench: Bench, client: Raw, model: Model, data: bytes) -> str:
    expected = model.takes(data)
    with suppress(OSError):
        client.send(data)
    bench.turn()
    if expected == "short" and not model.connected:
        # nothing is answered before a CONNECT, nor may it be closed
        assert not client.read(), data.hex(" ")
    else:
        if expected == "short" and model.takes(data + b"\xc0\0") != "short":
            expected = "completed"  # by the PINGREQ: whatever that makes of it
        got = reaction(bench, client)
        assert got == expected or expected == "completed", (data.hex(" "), got, expected)
    client.drop()
    return expected


@pytest.mark.parametrize("version", [3, 4, 5])
def test_every_byte_of_every_packet(version: int):
    bench = Bench()
    other = bench.client("other")
    other.subscribe("of/the/other", qos=1)
    seen: dict[str, int] = {}
    for packet in firsts(bench.open(version)):
        for data in spoiled(packet):
            found = compare(bench, bench.open(version), Model(version, False), data)
            seen[found] = seen.get(found, 0) + 1
    other.silent()
    for packet in others(bench.open(version)):
        for data in spoiled(packet):
            client = bench.client("client", version)
            found = compare(bench, client, Model(version, True), data)
            seen[found] = seen.get(found, 0) + 1
        assert other.publish("of/the/other", b"still here", 1) == 0
        assert other.message().payload == b"still here"
    assert min(seen[kind] for kind in ("open", "closed", "short")) > 20, seen
    assert not bench.broker.metrics()["packets/received"] < sum(seen.values())
