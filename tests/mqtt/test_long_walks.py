"""Topics that lead to thousands of filters: those of n levels, each of them `+` or a name, multiply to 2^n. Whoever
causes such a walk waits for it, nobody else does, and what is delivered is what the text says."""

from __future__ import annotations

import itertools
import random
import struct
from typing import Any

import gevent
import pytest

from router_ext.message.message import Message
from tests.clients.raw import PINGRESP, PUBACK, SUBACK, UNSUBACK, Raw, packet_bytes, text
from tests.core import naive
from tests.harness import Bench

LEVELS = 14                 # 16,384 filters, and twice as many nodes: more than a turn gives to all walks together
TOPIC = "/".join("a" * LEVELS)
FILTERS = ["/".join(names) for names in itertools.product("+a", repeat=LEVELS)]
AT_ONCE = 800


def send_filters(client: Raw, kind: int, names: list[str], options: bytes, answer: int, **props: Any) -> None:
    for first in range(0, len(names), AT_ONCE):
        some = names[first:first + AT_ONCE]
        body = struct.pack("!H", 1) + client.props(props) + b"".join(text(name) + options for name in some)
        client.send(packet_bytes(kind, body))
        client.expect(answer)


def subscribe(client: Raw, names: list[str], qos: int = 0, **props: Any) -> None:
    send_filters(client, 0x82, names, bytes((qos,)), SUBACK, **props)


def unsubscribe(client: Raw, names: list[str]) -> None:
    send_filters(client, 0xA2, names, b"", UNSUBACK)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def reader(bench: Bench) -> Raw:
    client = bench.client("reader")
    subscribe(client, FILTERS)
    return client


def one_turn(bench: Bench) -> bool:
    """True while there is more to do."""
    gevent.sleep(0)
    return bench.reactor.turn(bench.now)


def begin(bench: Bench, packet: bytes) -> Raw:
    """A publisher whose packet has been read, and led to a walk that goes on."""
    writer = bench.client("writer")
    writer.sock.sendall(packet)
    one_turn(bench)
    assert one_turn(bench)
    return writer


def test_others_have_their_turn_while_a_walk_goes_on(bench: Bench, reader: Raw) -> None:
    other = bench.client("other")
    writer = begin(bench, reader.publish_packet(TOPIC, b"x"))
    other.sock.sendall(b"\xc0\0")
    assert one_turn(bench)
    assert other.sock.recv(10) == b"\xd0\0"
    assert not reader.read()
    assert reader.message().topic == TOPIC
    for client in (reader, writer):
        client.silent()


def test_many_publishers_share_what_one_would_have(bench: Bench, reader: Raw) -> None:
    """A turn does not grow with the number of those who make it long: it has 16,384 looks for walks that were cut, and
    a walk over all these filters takes two of them."""
    writers = [bench.client(f"writer-{i}") for i in range(20)]
    for i, writer in enumerate(writers):
        writer.sock.sendall(writer.publish_packet(f"{TOPIC}/{i}", b"x") + b"\xc0\0")
    turns = 1
    while one_turn(bench):
        turns += 1
    assert turns > 2 * len(writers)
    for writer in writers:
        assert writer.sock.recv(10) == b"\xd0\0"


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_one_copy_with_all_identifiers(bench: Bench, qos: int) -> None:
    """[MQTT-3.3.4-2] [MQTT-3.3.4-3]"""
    reader, writer = bench.client("reader"), bench.client("writer")
    for i in range(4):
        subscribe(reader, FILTERS[i::4], qos=2 if i == 3 else 0, subscription_id=i + 1)
    for payload in (b"searched", b"remembered"):
        assert writer.publish(TOPIC, payload, qos) == 0
        packet = reader.message()
        assert (packet.payload, packet.qos) == (payload, qos)
        assert set(packet.props["subscription_id"]) == {1, 2, 3, 4}
    reader.silent()


def test_what_a_client_sends_stays_in_order(bench: Bench, reader: Raw) -> None:
    subscribe(reader, ["b"])
    writer = bench.client("writer")
    packets = [reader.publish_packet(topic, str(i).encode()) for i, topic in enumerate([TOPIC, "b", TOPIC, "b"])]
    writer.send(b"".join(packets))
    assert [reader.message().payload for _ in packets] == [b"0", b"1", b"2", b"3"]


def test_nothing_is_acknowledged_before_it_is_delivered(bench: Bench, reader: Raw) -> None:
    writer = begin(bench, reader.publish_packet(TOPIC, b"x", 1, pid=7))
    assert not writer.read()
    assert writer.answer(PUBACK, 7).code == 0
    reader.expect(3, payload=b"x")


def test_a_publisher_that_goes_meanwhile_leaves_nothing(bench: Bench, reader: Raw) -> None:
    writer = begin(bench, reader.publish_packet(TOPIC, b"x"))
    bench.engine.channels[-1].close("over")
    bench.turn()
    writer.closed()
    reader.silent()
    assert bench.client("again").publish(TOPIC, b"y", 1) == 0
    assert reader.message().payload == b"y"


def test_a_subscriber_that_goes_meanwhile_gets_nothing(bench: Bench, reader: Raw) -> None:
    last = bench.client("last")
    subscribe(last, ["#"])
    writer = begin(bench, reader.publish_packet(TOPIC, b"x", 1, pid=1))
    reader.sock.sendall(b"\xe0\0")
    assert last.message().payload == b"x"
    writer.answer(PUBACK, 1)
    reader.closed()


def test_the_table_changes_while_a_walk_goes_on(bench: Bench, reader: Raw) -> None:
    """Who was there all the time gets the message once, whatever comes and goes beside it: nodes of filters are taken
    away, split, and used again."""
    chance = random.Random(14)
    names = [name for name in FILTERS if chance.random() < 0.5]
    others = [bench.client(f"other-{i}") for i in range(8)]
    stays, goes = others[:4], others[4:]
    for other in others:
        subscribe(other, chance.sample(FILTERS, 30))
    router, engine = bench.engine.router, bench.engine
    publisher = bench.client("writer")
    for round in range(3):
        publisher.sock.sendall(reader.publish_packet(TOPIC, bytes((round,))))
        one_turn(bench)
        while one_turn(bench):
            for name in chance.sample(names, 1000):
                router.unsubscribe(name.encode(), engine.sessions["reader"])
            for name in chance.sample(FILTERS, 1000):
                router.subscribe((name + chance.choice(["", "/+/z", "/#"])).encode(), engine.sessions["reader"], 0)
            for other in goes:
                session = engine.sessions[f"other-{others.index(other)}"]
                router.unsubscribe(chance.choice(FILTERS).encode(), session)
        for client in (reader, *stays):
            assert client.message().payload == bytes((round,))
            client.silent()


def test_shared_groups_are_found_too(bench: Bench) -> None:
    members = [bench.client(f"member-{i}") for i in range(2)]
    for member in members:
        subscribe(member, [f"$share/g/{name}" for name in FILTERS[::8]])
    bench.client("writer").publish(TOPIC, b"x", 1)
    counts = []
    for member in members:
        member.send(b"\xc0\0")
        counts.append(0)
        while member.packet().kind != PINGRESP:
            counts[-1] += 1
    assert sum(counts) == len(FILTERS[::8])


def test_messages_from_elsewhere_and_changed_ones_wait_too(bench: Bench, reader: Raw) -> None:
    """REST, wills and handlers of `message.publish` publish past a channel's inbox; the order of a client's stays."""
    def lengthened(message: Message) -> Message:
        return Message.create(TOPIC, message.payload, message.qos, message.retain, message.client_id)

    assert bench.broker.publish(TOPIC, b"rest") == 1
    assert bench.engine.in_turn is False
    assert reader.message().payload == b"rest"
    unsubscribe(reader, ["c"])  # the table has changed: nothing is remembered
    bench.broker.hooks.add("message.publish", lengthened, prefix="short")
    writer = bench.client("writer")
    writer.send(b"".join(writer.publish_packet("short", str(i).encode()) for i in range(5)))
    assert [reader.message().payload for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    reader.silent()


def test_a_short_walk_is_not_kept_waiting_by_long_ones(bench: Bench, reader: Raw) -> None:
    subscribe(reader, ["b/+"])
    writer = begin(bench, reader.publish_packet(TOPIC, b"long"))
    quick = bench.client("quick")
    assert quick.publish("b/c", b"short", 1) == 0
    assert {reader.message().payload for _ in range(2)} == {b"short", b"long"}
    writer.silent()


def test_the_filters_are_those_that_multiply() -> None:
    assert all(naive.matches(name, TOPIC) for name in FILTERS[::101])


def test_questions_to_the_access_control_are_charged(bench: Bench) -> None:
    """A client whose every message has another topic has each checked in Python."""
    asked = []
    bench.broker.hooks.add("client.check_acl", lambda client, access, topic: asked.append(topic) or True)
    bench.broker.access.update()
    bench.zone.enable_acl = True
    writer = bench.client("writer", version=4)
    writer.sock.sendall(b"".join(writer.publish_packet(str(i), b"") for i in range(2000)))
    one_turn(bench)
    assert 0 < len(asked) < 500
    bench.turn()
    assert len(asked) == 2000


# -- retained messages ----------------------------------------------------------------------------------------

RETAINED = 30_000
LOOKS_A_TURN = 16_384


def test_a_search_for_retained_messages_is_cut(bench: Bench) -> None:
    """SUBSCRIBEs that lead through all of them and to none are answered; the search goes on over many turns, in which
    all who made one necessary share what one would have."""
    for i in range(RETAINED):
        bench.engine.retained.add(Message.create(f"r/{i}", b"x", 0, True, ""))
    seekers = [bench.client(f"seeker-{i}") for i in range(10)]
    for seeker in seekers:
        seeker.sock.sendall(packet_bytes(0x82, struct.pack("!H", 1) + seeker.props({}) + text("r/+/+") + b"\0") * 50)
    turns = 0
    while one_turn(bench):
        turns += 1
    assert turns >= RETAINED * len(seekers) // LOOKS_A_TURN
    for seeker in seekers:
        seeker.read()
        assert seeker.inbox == b"\x90\x04\0\1\0\0" * 50


def test_many_subscribers_get_all_retained_messages_over_many_turns(bench: Bench) -> None:
    for i in range(RETAINED):
        bench.engine.retained.add(Message.create(f"r/{i}", b"x", 0, True, ""))
    readers = [bench.client(f"reader-{i}") for i in range(3)]
    for reader in readers:
        reader.sock.sendall(packet_bytes(0x82, struct.pack("!H", 1) + reader.props({}) + text("#") + b"\0"))
    turns = 0
    topics: list[set[str]] = [set() for _ in readers]
    while one_turn(bench) or any(len(seen) < RETAINED for seen in topics):
        turns += 1
        assert turns < 3000
        for reader, seen in zip(readers, topics, strict=True):
            reader.read()
            while packet := reader.buffered():
                if packet.kind == 3:
                    seen.add(packet.topic)
    assert turns > RETAINED * len(readers) // 4096
