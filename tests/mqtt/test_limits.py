"""MQTT 5: what client and server tell each other about limits, and how each is kept."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections import Counter

import pytest

from tests.clients.raw import (
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    Closed,
    Raw,
    packet_bytes,
    properties,
    text,
)
from tests.harness import Bench

LONG = "sensors/building-7/floor-3/temperature"


def burst(client: Raw, topic: str, count: int, qos: int) -> list[int]:
    """`count` messages without waiting for an answer; their packet ids."""
    pids = [client.next_pid() for _ in range(count)]
    client.send(b"".join(client.publish_packet(topic, b"%d" % pid, qos, pid=pid) for pid in pids))
    return pids


# -- Receive Maximum ----------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_in_flight_than_the_client_takes(qos: int):
    """[MQTT-3.3.4-9] The server keeps to the client's Receive Maximum."""
    bench = Bench(max_inflight=0)
    reader = bench.client("reader", receive_maximum=2)
    reader.subscribe("t", qos=qos)
    writer = bench.client("writer")
    for number in range(5):
        writer.publish("t", b"%d" % number, qos)
    first, second = reader.expect(PUBLISH), reader.expect(PUBLISH)
    reader.silent()
    assert [first.payload, second.payload] == [b"0", b"1"]
    if qos == 1:
        reader.ack(PUBACK, first.pid)
    else:
        reader.ack(PUBREC, first.pid)
        reader.expect(PUBREL, pid=first.pid)
        reader.silent()  # PUBREC alone frees nothing
        reader.ack(PUBCOMP, first.pid)
    assert reader.expect(PUBLISH).payload == b"2"
    reader.silent()


def test_a_refusing_pubrec_makes_room():
    """[MQTT-4.3.3-4] PUBREC with 0x80 or more ends the exchange: no PUBREL, and the next message comes."""
    bench = Bench()
    reader = bench.client("reader", receive_maximum=1)
    reader.subscribe("t", qos=2)
    writer = bench.client("writer")
    writer.publish("t", b"first", 2)
    writer.publish("t", b"second", 2)
    reader.ack(PUBREC, reader.expect(PUBLISH, payload=b"first").pid, 0x97)
    reader.expect(PUBLISH, payload=b"second")


def test_resent_messages_keep_to_a_smaller_receive_maximum():
    """[MQTT-3.3.4-9] Also for what was in flight on an earlier connection with a larger one, in order
    [MQTT-4.6.0-1]."""
    bench = Bench(max_inflight=10)
    reader = bench.client("reader", clean=False, session_expiry=100)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    for number in range(6):
        writer.publish("t", b"%d" % number, 1)
    assert [reader.expect(PUBLISH).payload for _ in range(6)] == [b"%d" % i for i in range(6)]
    bench.gone(reader)
    writer.publish("t", b"6", 1)
    reader = bench.client("reader", clean=False, session_expiry=100, receive_maximum=2)
    seen = []
    for _ in range(3):
        pair = [reader.expect(PUBLISH, dup=True), reader.expect(PUBLISH, dup=True)]
        reader.silent()
        for packet in pair:
            seen.append(packet.payload)
            reader.ack(PUBACK, packet.pid)
    assert seen == [b"%d" % i for i in range(6)]
    reader.expect(PUBLISH, payload=b"6", dup=False)


def test_beyond_the_announced_receive_maximum_is_disconnected():
    """[MQTT-3.3.4-7] MQTT 5: DISCONNECT 0x93 for a client with more QoS 2 exchanges open than CONNACK allows."""
    bench = Bench(max_awaiting_rel=3)
    client = bench.client("client")
    assert client.connack.props["receive_maximum"] == 3
    burst(client, "t", 3, 2)
    for pid in (1, 2, 3):
        client.expect(PUBREC, pid=pid)
    client.silent()
    burst(client, "t", 1, 2)
    client.expect(DISCONNECT, code=0x93)
    client.closed()
    assert bench.door.ended == ["receive_maximum_exceeded"]


def test_released_exchanges_do_not_count():
    bench = Bench(max_awaiting_rel=2)
    client = bench.client("client")
    for _ in range(5):
        client.publish("t", b"", 2)
        client.publish("t", b"", 1)
    client.silent()


@pytest.mark.parametrize("explained", [0, 1])
def test_refused_repeated_and_unknown_exchanges_do_not_count(explained: int):
    """Section 4.9: each message takes one of the quota, and its last acknowledgement gives it back."""
    bench = Bench(max_awaiting_rel=2, max_topic_levels=1)
    client = bench.client("client", request_problem=explained)
    for qos in (1, 2, 1, 2):
        assert client.publish("too/deep", b"", qos) == 0x90
    for dup, code in ((False, 0x10), (True, 0), (False, 0x91), (True, 0), (True, 0)):
        client.send_publish("t", b"", 2, pid=50, dup=dup)
        client.expect(PUBREC, pid=50, code=code)
    assert client.publish("t", b"", 1) == 0x10
    client.ack(PUBREL, 99)
    client.expect(PUBCOMP, pid=99, code=0x92)
    client.send_publish("t", b"", 2, pid=51)
    client.expect(PUBREC, pid=51)
    client.send_publish("t", b"", 2, pid=52)
    client.expect(DISCONNECT, code=0x93)


def test_withheld_qos1_acknowledgements_count():
    """A client whose PUBACKs are withheld may not send more than its Receive Maximum either."""
    bench = Bench(max_awaiting_rel=4, max_mqueue_len=1, max_inflight=1)
    reader = bench.client("reader")
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    burst(writer, "t", 6, 1)
    assert writer.expect(PUBACK).pid == 1
    assert writer.expect(PUBACK).pid == 2
    writer.silent()  # 3, 4, 5 and 6 wait for the reader
    burst(writer, "t", 1, 1)
    writer.expect(DISCONNECT, code=0x93)


def test_quota_is_whole_again_on_a_new_connection():
    """Section 4.9: what an earlier connection left open does not count on the next."""
    bench = Bench(max_awaiting_rel=2)
    client = bench.client("client", clean=False, session_expiry=100)
    burst(client, "t", 2, 2)
    client.expect(PUBREC)
    client.expect(PUBREC)
    bench.gone(client)
    client = bench.client("client", clean=False, session_expiry=100)
    client.pid = 2
    burst(client, "t", 2, 2)
    client.expect(PUBREC, pid=3, code=0x10)
    client.expect(PUBREC, pid=4)
    client.silent()


def test_mqtt_3_is_counted_and_warned_but_loses_nothing(caplog: pytest.LogCaptureFixture):
    """`max_awaiting_rel` for 3.x: nothing is dropped; the limit counts and warns."""
    bench = Bench(max_awaiting_rel=3)
    reader = bench.client("reader", 4)
    reader.subscribe("t", qos=0)
    client = bench.client("client", 4)
    pids = burst(client, "t", 5, 2)
    for pid in pids:
        client.expect(PUBREC, pid=pid)
    client.silent()
    assert [reader.message().payload for _ in pids] == [b"%d" % pid for pid in pids]
    assert bench.engine.metrics.extended()["awaiting_rel/exceeded"] == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_pubrel_in_time_or_never():
    """`await_rel_timeout`: the id is forgotten, PUBREL is answered 0x92."""
    bench = Bench(await_rel_timeout=5000)
    client = bench.client("client")
    pid, = burst(client, "t", 1, 2)
    client.expect(PUBREC, pid=pid)
    bench.later(7)
    client.ack(PUBREL, pid)
    client.expect(PUBCOMP, pid=pid, code=0x92)
    assert bench.broker.metrics()["messages/qos2/expired"] == 1


def test_pubrel_timeout_stands_still_while_the_client_is_away():
    """[MQTT-4.3.3-10] A QoS 2 message repeated after a long absence is still the same message."""
    bench = Bench(await_rel_timeout=5000)
    reader = bench.client("reader")
    reader.subscribe("t")
    client = bench.client("client", clean=False, session_expiry=1000)
    client.send_publish("t", b"once", 2, pid=7)
    client.expect(PUBREC, pid=7)
    bench.gone(client)
    bench.later(60)
    client = bench.client("client", clean=False, session_expiry=1000)
    bench.later(1)
    client.send_publish("t", b"once", 2, pid=7, dup=True)
    client.expect(PUBREC, pid=7, code=0)
    reader.expect(PUBLISH, payload=b"once")
    reader.silent()


# -- Maximum Packet Size ------------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("inflated", ["payload", "identifiers"])
def test_too_large_for_one_is_dropped_for_it_alone(qos: int, inflated: str):
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25] As if it had been sent: no other subscriber notices, the next one comes."""
    bench = Bench()
    small = bench.client("small", maximum_packet_size=40)
    large = bench.client("large")
    for client in (small, large):
        client.subscribe("t", qos=qos)
    if inflated == "identifiers":
        small.subscribe("+", qos=qos, subscription_id=268_435_455)
        small.subscribe("#", qos=qos, subscription_id=268_435_454)
    payload = b"x" * (40 if inflated == "payload" else 30)
    writer = bench.client("writer")
    writer.publish("t", payload, qos)
    writer.publish("t", b"fits", qos)
    assert small.message().payload == b"fits"
    assert [large.message().payload for _ in range(2)] == [payload, b"fits"]
    assert bench.engine.metrics.extended()["dropped/too_large"] == 1


@pytest.mark.parametrize("limit", range(1, 24))
def test_no_packet_of_any_kind_is_too_large(limit: int):
    """[MQTT-3.1.2-24] Whatever the client does: what does not fit is dropped, or ends the connection where there is no
    going on without it."""
    bench = Bench(wildcard_subscription=False)
    bench.broker.publish("t", b"", 2, retain=True)
    client = bench.open()
    client.send(client.connect_packet("", maximum_packet_size=limit, request_problem=1, request_response=1,
                                      session_expiry=9))
    client.send(packet_bytes(0x82, b"\0\1\0" + b"\0\1t\2" + b"\0\1#\0" * 9))
    client.send(packet_bytes(0xA2, b"\0\2\0" + b"\0\1u" * 9))
    for qos in (0, 1, 2):
        client.send_publish("t", b"x" * qos, qos, pid=9)
    for kind in (PUBREC, PUBREL):
        client.ack(kind, 77)
    client.send(b"\xc0\0" + b"\xd0\0")
    raw = b""
    with contextlib.suppress(Closed):
        while True:
            client.read()
            bench.turn()
    raw, client.inbox = client.inbox, bytearray()
    while raw:
        length = 2 + raw[1]  # none is longer than 127
        assert length <= limit
        raw = raw[length:]
    assert bench.client("other").publish("t", b"", 1) == 0x10


def test_exactly_the_maximum_is_delivered():
    bench = Bench()
    reader = bench.client("reader", maximum_packet_size=20)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    room = 20 - len(writer.publish_packet("t", b"", 1, pid=1))
    writer.publish("t", b"x" * room, 1)
    writer.publish("t", b"x" * (room + 1), 1)
    assert len(reader.message().payload) == room
    reader.silent()


def test_a_run_of_qos0_messages_is_judged_one_by_one():
    bench = Bench()
    reader = bench.client("reader", maximum_packet_size=20)
    reader.subscribe("t")
    writer = bench.client("writer")
    writer.send(b"".join(writer.publish_packet("t", b"x" * n) for n in (1, 50, 2, 60, 3)))
    assert [len(reader.message().payload) for _ in range(3)] == [1, 2, 3]
    reader.silent()


def test_a_packet_above_the_servers_maximum_ends_the_connection():
    """[MQTT-3.2.2-15] 0x95, by the length in its header, before its body has come."""
    bench = Bench(max_packet_size=100)
    client = bench.client("client")
    assert client.connack.props["maximum_packet_size"] == 100
    client.send(client.publish_packet("t", b"x" * 100)[:5])
    client.expect(DISCONNECT, code=0x95)
    client.closed()


def test_a_packet_above_the_servers_maximum_does_not_pass_behind_others_alike():
    """[MQTT-3.2.2-15] However the packets of a topic are divided into writes."""
    bench = Bench(max_packet_size=100)
    reader, writer = bench.client("reader"), bench.client("writer")
    reader.subscribe("t")
    writer.send(b"".join(writer.publish_packet("t", b"x" * n) for n in (1, 94, 95, 2)))  # 95: 101 bytes
    assert [len(reader.message().payload) for _ in range(2)] == [1, 94]
    reader.silent()
    writer.expect(DISCONNECT, code=0x95)
    writer.closed()


@pytest.mark.parametrize("version", [4, 5])
def test_a_client_that_nobody_knows_may_have_less_held_of_it(version: int):
    """`max_connect_size`, by the length in the header of CONNECT; afterwards `max_packet_size` counts."""
    bench = Bench(max_connect_size=1000)
    client = bench.open(version)
    client.send(client.connect_packet("c", will=("t", b"x" * 1000, 0, False))[:5])
    client.closed()
    assert bench.door.ended == ["packet_too_large"]
    client = bench.client("c", version, will=("t", b"x" * 900, 0, False))
    assert client.publish("t", b"x" * 10_000, 1) in (0, 0x10)


def test_user_properties_without_number_cost_little():
    """Nobody is known before CONNECT is decided; 50,000 of them took 35 ms and 6 MB of Python's objects. Now there is
    none for each: the packets themselves have 250 KB."""
    bench, pairs = Bench(), [("", "")] * 50_000
    client = bench.open()
    packets = {
        "connect": client.connect_packet("c", user_property=pairs),
        "subscribe": packet_bytes(0x82, b"\0\1" + properties({"user_property": pairs}) + text("t") + b"\0"),
        "disconnect": packet_bytes(0xE0, b"\0" + properties({"user_property": pairs})),
    }
    tracemalloc.start()
    client.send(packets["connect"])
    client.expect(CONNACK, code=0)
    client.send(packets["subscribe"])
    client.expect(SUBACK, codes=[0])
    client.send(packets["disconnect"])
    client.closed()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000


def test_a_will_has_a_thousand_user_properties():
    """They are kept for whoever gets the will, so they are counted: 0x97, Quota exceeded (section 3.1.4)."""
    bench = Bench()
    for count, code in ((1000, 0), (1001, 0x97)):
        client = bench.open()
        pairs = {"user_property": [("", "")] * count}
        client.send(client.connect_packet("c", will=("t", b"", 0, False), will_props=pairs))
        client.expect(CONNACK, code=code)


# -- Topic Alias --------------------------------------------------------------------------------------


def test_aliases_of_a_client():
    """[MQTT-3.3.2-7] [MQTT-3.3.2-12] Set, used and set anew on one connection; unknown to others."""
    bench = Bench(max_topic_alias=2)
    reader = bench.client("reader")
    reader.subscribe("#")
    writer = bench.client("writer")
    assert writer.connack.props["topic_alias_maximum"] == 2
    for topic, alias in (("a", 1), ("b", 2), ("", 1), ("", 2), ("c", 1), ("", 1)):
        writer.send_publish(topic, b"", topic_alias=alias)
    packets = [reader.message() for _ in range(6)]
    assert [packet.topic for packet in packets] == ["a", "b", "a", "b", "c", "c"]
    assert not any("topic_alias" in packet.props for packet in packets)
    other = bench.client("other")
    other.send_publish("", b"", topic_alias=1)
    other.expect(DISCONNECT, code=0x82)


@pytest.mark.parametrize("alias", [0, 3])
def test_an_alias_out_of_range(alias: int):
    """[MQTT-3.3.2-8] [MQTT-3.3.2-9] 0x94"""
    bench = Bench(max_topic_alias=2)
    writer = bench.client("writer")
    writer.send_publish("t", b"", topic_alias=alias)
    writer.expect(DISCONNECT, code=0x94)


def test_aliases_for_a_client_that_takes_them():
    """[MQTT-3.3.2-11] No more of them than it takes, told with the topic the first time."""
    bench = Bench()
    reader = bench.client("reader", topic_alias_maximum=1)
    reader.subscribe("#", qos=1)
    writer = bench.client("writer")
    for topic in (LONG, LONG, "another/" + LONG, LONG, "another/" + LONG):
        writer.publish(topic, b"", 1)
    packets = [reader.message() for _ in range(5)]
    assert [(packet.topic, packet.props.get("topic_alias")) for packet in packets] == [
        (LONG, 1), ("", 1), ("another/" + LONG, None), ("", 1), ("another/" + LONG, None)]


def test_an_alias_nobody_uses_is_given_to_another_topic():
    """A crowd of topics does not push out those that come again and again, and those that come later get a turn."""
    bench = Bench()
    reader = bench.client("reader", topic_alias_maximum=4)
    reader.subscribe("#", qos=1)
    writer = bench.client("writer")
    topics: dict[int, str] = {}
    short: Counter[str] = Counter()
    for turn in range(60):
        for topic in ("always/here", f"once/{turn}", "early/on" if turn < 20 else "later/on"):
            writer.publish(topic, b"", 1)
            packet = reader.message()
            alias = packet.props.get("topic_alias")
            short[topic] += not packet.topic
            if packet.topic and alias:
                topics[alias] = packet.topic
            assert alias is None or 1 <= alias <= 4
            assert (packet.topic or topics[alias]) == topic  # [MQTT-3.3.2-12], as the client takes it
    assert short["always/here"] == 59
    assert short["early/on"] > 10
    assert short["later/on"] > 20


def test_aliases_end_with_the_connection():
    """[MQTT-3.3.2-7] What is sent again after a reconnect has its topic."""
    bench = Bench()
    reader = bench.client("reader", topic_alias_maximum=5, clean=False, session_expiry=100)
    reader.subscribe("#", qos=1)
    writer = bench.client("writer")
    writer.publish(LONG, b"1", 1)
    writer.publish(LONG, b"2", 1)
    assert [reader.expect(PUBLISH).topic, reader.expect(PUBLISH).topic] == [LONG, ""]
    bench.gone(reader)
    reader = bench.client("reader", clean=False, session_expiry=100)
    assert [reader.message().topic, reader.message().topic] == [LONG, LONG]


def test_an_alias_makes_no_packet_too_large():
    bench = Bench()
    size = len(Raw.publish_packet(bench.open(), LONG, b"x", 1, pid=1))
    reader = bench.client("reader", topic_alias_maximum=5, maximum_packet_size=size)
    reader.subscribe("#", qos=1)
    bench.client("writer").publish(LONG, b"x", 1)
    packet = reader.message()
    assert (packet.topic, packet.props) == (LONG, {})


# -- payload format -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("qos", "answer"), [(1, PUBACK), (2, PUBREC), (0, DISCONNECT)])
def test_payload_format_is_checked_when_asked_to(qos: int, answer: int):
    """Section 3.3.2.3.2: 0x99 for a payload said to be UTF-8 that is not."""
    bench = Bench(check_payload_format=True)
    reader = bench.client("reader")
    reader.subscribe("t")
    writer = bench.client("writer")
    assert writer.publish("t", "grüße".encode(), 1, payload_format=1) == 0
    assert reader.message().props == {"payload_format": 1}
    assert writer.publish("t", b"\xff", 1, payload_format=0) == 0
    assert reader.message().payload == b"\xff"
    writer.send_publish("t", b"\xff", qos, pid=9, payload_format=1)
    writer.expect(answer, code=0x99)
    reader.silent()
    if qos == 2:
        writer.publish("t", b"ok", 2)
        writer.send_publish("t", b"again", 2, pid=9)
        writer.expect(PUBREC, pid=9, code=0)  # the refused exchange is over
        assert [reader.message().payload, reader.message().payload] == [b"ok", b"again"]


def test_payload_format_is_passed_on_unchecked_by_default():
    """[MQTT-3.3.2-4]"""
    bench = Bench()
    reader = bench.client("reader")
    reader.subscribe("t")
    bench.client("writer").publish("t", b"\xff", 1, payload_format=1)
    packet = reader.message()
    assert packet.props == {"payload_format": 1}
    assert packet.payload == b"\xff"


def test_a_will_whose_payload_is_not_as_said():
    bench = Bench(check_payload_format=True)
    client = bench.open()
    client.connect("client", code=0x99, will=("t", b"\xff", 0, False), will_props={"payload_format": 1})
    client.closed()


# -- overload -----------------------------------------------------------------------------------------


def test_force_shutdown_policy():
    """Too many messages waiting for a client end its connection; the session stays."""
    bench = Bench(shutdown_count=5, max_inflight=1)
    reader = bench.client("reader", clean=False, session_expiry=100)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    for _ in range(8):
        writer.publish("t", b"", 1)
    bench.later(0.2)
    reader.expect(PUBLISH)
    reader.expect(DISCONNECT, code=0x97)
    with pytest.raises(Closed):
        reader.packet()
    assert bench.door.ended == ["force_shutdown"]
    assert "reader" in bench.broker.sessions
