"""Retained messages: limits that hold from the moment they are set, and millions of them for one subscriber."""

from __future__ import annotations

import pytest

from router_ext.message.message import Message
from tests.clients.raw import PUBLISH, Raw, packet_bytes
from tests.harness import Bench


def kept(bench: Bench) -> list[str]:
    return sorted(bench.engine.retained.topics())


def retain(writer: Raw, *topics: str, payload: bytes = b"x") -> None:
    for topic in topics:
        assert writer.publish(topic, payload, 1, retain=True) in (0, 0x10)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_last_one_is_kept_and_an_empty_one_removes_it(qos: int):
    """[MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7]"""
    bench = Bench()
    writer = bench.client("writer")
    for payload in (b"1", b"2"):
        writer.publish("t", payload, qos, retain=True)
    writer.publish("t", b"not retained", qos)
    reader = bench.client("reader")
    reader.subscribe("t", qos=2)
    packet = reader.message()
    assert (packet.payload, packet.retain, packet.qos) == (b"2", True, qos)
    writer.publish("t", b"", qos, retain=True)
    packet = reader.message()
    assert (packet.payload, packet.retain) == (b"", False)
    assert kept(bench) == []
    late = bench.client("late")
    late.subscribe("t")
    late.silent()


def test_max_retained_messages():
    """Beyond the limit a message is delivered and not kept; one of a topic that has one is replaced."""
    bench = Bench()
    bench.engine.max_retained = 2
    writer, reader = bench.client("writer"), bench.client("reader")
    reader.subscribe("#")
    retain(writer, "a", "b", "c")
    assert kept(bench) == ["a", "b"]
    assert [reader.message().topic for _ in range(3)] == ["a", "b", "c"]
    retain(writer, "a", payload=b"new")
    assert bench.engine.retained.get(b"a").payload == b"new"
    assert bench.engine.metrics.extended()["retained/refused"] == 1
    bench.engine.max_retained = 3
    retain(writer, "c")
    assert kept(bench) == ["a", "b", "c"]


def test_max_payload_size():
    bench = Bench()
    bench.engine.max_retained_payload = 3
    writer = bench.client("writer")
    retain(writer, "small", payload=b"xxx")
    retain(writer, "large", payload=b"xxxx")
    assert kept(bench) == ["small"]


def test_expiry_interval_is_for_those_without_their_own():
    """And holds for what is kept already, from the moment it is set."""
    bench = Bench()
    writer = bench.client("writer")
    retain(writer, "old")
    writer.publish("own", b"x", 1, retain=True, message_expiry=1000)
    bench.broker.publish("$SYS/kept", b"x", retain=True)
    bench.later(50)
    retain(writer, "new")
    bench.engine.retained_expiry = 40
    reader = bench.client("reader")
    reader.subscribe("#")
    packets = [reader.message() for _ in range(2)]
    assert [(packet.topic, packet.props) for packet in packets] == [("own", {"message_expiry": 950}), ("new", {})]
    reader.silent()
    bench.later(1)
    assert kept(bench) == ["$SYS/kept", "new", "own"]
    bench.later(45)
    assert kept(bench) == ["$SYS/kept", "own"]


@pytest.mark.parametrize("qos", [0, 1])
def test_very_many_for_one_subscriber(qos: int):
    """More than its socket takes at once: none is lost, oldest first, and no other client waits for it."""
    bench = Bench()
    count, payload = 20_000, b"x" * 200
    for number in range(count):
        bench.broker.publish(f"t/{number}", payload, 1, retain=True)
    reader, other = bench.client("reader"), bench.client("other")
    reader.sock.setsockopt(1, 8, 8192)  # SO_RCVBUF
    reader.send(packet_bytes(0x82, b"\x00\x01\x00\x00\x03t/#" + bytes([qos])))
    other.silent()
    assert reader.packet().codes == [qos]
    topics = [reader.message().topic for _ in range(count)]
    assert topics == [f"t/{number}" for number in range(count)]
    reader.silent()


def one_at_a_time(payload: bytes) -> tuple[Bench, Raw]:
    """A reader that takes a message at a time, and was sent the first of three retained ones: a, b and c."""
    bench = Bench(max_inflight=1)
    for topic in ("a", "b", "c"):
        bench.broker.publish(topic, payload, 1, retain=True)
    reader = bench.client("reader")
    reader.subscribe("#", qos=1)
    return bench, reader


def test_one_that_was_replaced_before_its_turn_is_left_out():
    bench, reader = one_at_a_time(b"old")
    first = reader.expect(PUBLISH, topic="a")
    bench.broker.publish("b", b"new", 1, retain=True)
    bench.broker.publish("c", b"", 1, retain=True)
    reader.ack(4, first.pid)
    packets = [reader.message() for _ in range(2)]
    assert [(packet.topic, packet.payload) for packet in packets] == [("b", b"new"), ("c", b"")]
    reader.silent()


def test_what_waits_goes_before_what_is_published_later():
    """[MQTT-4.6.0-5] Of one topic, and each once."""
    bench, reader = one_at_a_time(b"kept")
    bench.broker.publish("c", b"live", 1)
    bench.broker.publish("c", b"again", 1)
    packets = [reader.message() for _ in range(5)]
    assert [(packet.topic, packet.payload, packet.retain) for packet in packets if packet.topic == "c"] == [
        ("c", b"kept", True), ("c", b"live", False), ("c", b"again", False)]
    assert {packet.topic for packet in packets} == {"a", "b", "c"}
    reader.silent()


def test_what_waits_ends_with_its_subscription():
    """[MQTT-3.10.4-2]; a subscription that is replaced gets them once more, and not twice [MQTT-3.8.4-4]."""
    _bench, reader = one_at_a_time(b"kept")
    first = reader.expect(PUBLISH, topic="a")
    assert reader.unsubscribe("#") == [0]
    reader.ack(4, first.pid)
    reader.silent()
    reader.subscribe("#", qos=1)
    reader.subscribe("#", qos=1)
    assert [reader.message().topic for _ in range(4)] == ["a", "a", "b", "c"]
    reader.silent()


def test_more_than_a_look_up_visits():
    """They come in turns of the loop, between which others are served."""
    bench = Bench()
    for number in range(30_000):
        bench.engine.retained.add(Message.create(f"t/{number}", b"", retain=True))
    reader, other = bench.client("reader"), bench.client("other")
    reader.send(packet_bytes(0x82, b"\0\1\0\0\1#\0"))
    bench.reactor.turn(bench.now)
    other.send(b"\xc0\0")
    bench.reactor.turn(bench.now)
    assert other.sock.recv(9) == b"\xd0\0"
    assert bench.engine.metrics.snapshot()["messages/sent"] < 30_000
    assert reader.packet().codes == [0]
    assert len({reader.message().topic for _ in range(30_000)}) == 30_000
    reader.silent()


def test_the_rest_comes_after_a_reconnect():
    bench = Bench(max_inflight=1)
    for topic in ("a", "b", "c"):
        bench.broker.publish(topic, b"kept", 1, retain=True)
    reader = bench.client("reader", session_expiry=100)
    reader.subscribe("#", qos=1)
    reader.expect(PUBLISH, topic="a")
    bench.gone(reader)
    reader = bench.client("reader", clean=False)
    assert [reader.message().topic for _ in range(3)] == ["a", "b", "c"]
