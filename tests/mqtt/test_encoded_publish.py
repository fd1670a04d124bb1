"""Runs of QoS 0 as each kind of subscriber gets them, compared with a model that takes every message for itself."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.clients.raw import PUBLISH, SUBACK, Packet, Raw, packet_bytes, text
from tests.harness import Bench

FILTERS = ("#", "a/#", "a/+", "+/#")
RETAIN_AS_PUBLISHED = 8


@dataclass(frozen=True)
class Reader:
    """A subscriber. `identifiers` are those of its subscriptions to the first of FILTERS, 0 for one without."""

    version: int
    identifiers: list[int]
    as_published: bool = False
    limit: int = 0
    aliases: int = 0

    def numbers(self) -> list[int]:
        return [number for number in self.identifiers if number and self.version == 5]

    def open(self, bench: Bench, name: str) -> Raw:
        named = {"maximum_packet_size": self.limit, "topic_alias_maximum": self.aliases}
        options = {name: value for name, value in named.items() if value and self.version == 5}
        client = bench.client(name, version=self.version, **options)
        option = RETAIN_AS_PUBLISHED if self.as_published and self.version == 5 else 0
        for topic_filter, number in zip(FILTERS, self.identifiers, strict=False):
            client.subscribe((topic_filter, option),
                             **({"subscription_id": number} if number and self.version == 5 else {}))
        return client


@dataclass(frozen=True)
class Write:
    """Messages in one write, alike up to their payloads."""

    version: int
    topic: str
    sizes: list[int]
    retain: bool = False
    alias: bool = False
    props: tuple[tuple[str, Any], ...] = ()

    def messages(self) -> list[bytes]:
        return [bytes([number % 256]) * size for number, size in enumerate(self.sizes)]

    def send(self, writer: Raw) -> None:
        props = dict(self.props)
        if self.alias and self.version == 5:
            writer.send(writer.publish_packet("b" + self.topic, topic_alias=1))  # that alias had another topic
            writer.send_publish(self.topic, b"named", topic_alias=1)
            props["topic_alias"] = 1
        topic = "" if "topic_alias" in props else self.topic
        writer.send(b"".join(writer.publish_packet(topic, payload, retain=self.retain, **props)
                             for payload in self.messages()))


def expected(write: Write, reader: Reader) -> list[Packet]:
    """What the subscriber has to get of a write."""
    encoder = Raw.__new__(Raw)
    encoder.version = reader.version
    found = []
    aliased = write.alias and write.version == 5
    named: list[tuple[str, bytes, bool, dict[str, Any]]] = []
    if aliased:
        named = [("b" + write.topic, b"", False, {}), (write.topic, b"named", False, {})]
    props = dict(write.props) if write.version == 5 else {}
    for topic, payload, retain, own in [*named, *((write.topic, one, write.retain, props) for one in write.messages())]:
        reached = [number for topic_filter, number in zip(FILTERS, reader.identifiers, strict=False)
                   if topic[0] == "a" or topic_filter in ("#", "+/#")]
        numbers = [number for number in reached if number and reader.version == 5]
        if not reached:
            continue
        has = (own | ({"subscription_id": numbers} if numbers else {})) if reader.version == 5 else {}
        kept = retain and reader.as_published and reader.version == 5
        size = len(encoder.publish_packet(topic, payload, retain=kept, **has))
        if not (reader.version == 5 and reader.limit and size > reader.limit):  # [MQTT-3.1.2-24]
            found.append(Packet(PUBLISH, int(kept), 0, topic, payload, props=normal(has)))
    return found


def normal(props: dict[str, Any]) -> dict[str, Any]:
    return props | ({"subscription_id": sorted(props["subscription_id"])} if "subscription_id" in props else {})


def received(client: Raw, topics: dict[int, str]) -> list[Packet]:
    """All that has come, topic aliases replaced by the topics that the client has learnt."""
    found = []
    client.send(b"\xc0\x00")
    while (packet := client.packet()).kind == PUBLISH:
        alias = packet.props.pop("topic_alias", 0)
        if alias:
            packet.topic = topics.setdefault(alias, packet.topic) if not packet.topic else packet.topic
            topics[alias] = packet.topic
        packet.props = normal(packet.props)
        found.append(packet)
    return found


NUMBERS = st.sampled_from([0, 1, 2, 127, 128, 16_383, 16_384, 2_097_152, 268_435_455])
READERS = st.builds(Reader, st.sampled_from([3, 4, 5, 5, 5]), st.lists(NUMBERS, min_size=1, max_size=4), st.booleans(),
                    st.sampled_from([0, 0, 0, 60, 129, 130, 131, 140]), st.sampled_from([0, 0, 3]))
PROPS = st.sampled_from([(), (("message_expiry", 60),), (("user_property", [("k", "v" * 20)]), ("content_type", "x")),
                         (("message_expiry", 9), ("user_property", [("k", "v" * 120)]))])
WRITES = st.builds(Write, st.sampled_from([4, 5, 5]), st.sampled_from(["a/b", "a/" + "t" * 60, "a/" + "t" * 150]),
                   st.lists(st.one_of(st.integers(0, 8), st.integers(40, 150)), min_size=1, max_size=8),
                   st.sampled_from([False, False, True]), st.booleans(), PROPS)


def check(readers: list[Reader], writes: list[Write]) -> None:
    bench = Bench(max_topic_alias=5)
    clients = [(reader, reader.open(bench, f"reader{number}"), dict[int, str]())
               for number, reader in enumerate(readers)]
    writers = {version: bench.client(version=version) for version in (4, 5)}
    for write in writes:
        write.send(writers[write.version])
        bench.turn()
        for reader, client, topics in clients:
            assert received(client, topics) == expected(write, reader), (write, reader)
    Bench.close_all()


@settings(max_examples=150, deadline=None)
@given(st.lists(READERS, min_size=1, max_size=12), st.lists(WRITES, min_size=1, max_size=3))
def test_each_gets_what_the_model_says(readers: list[Reader], writes: list[Write]) -> None:
    check(readers, writes)


def test_every_size_of_identifier_in_turns() -> None:
    """[MQTT-3.3.4-3] Each the number of its own subscription, whatever the one before had."""
    numbers = (1, 300, 2, 70_000, 0, 127, 128, 268_435_455, 3, 16_384)
    readers = [Reader(version, [number]) for number in numbers for version in (5, 4)]
    check(readers, [Write(5, "a/b", [3] * 40, alias=True, props=(("message_expiry", 60),)), Write(4, "a/b", [5] * 40)])


def test_a_run_whose_topic_travels_as_an_alias_fits_the_subscriber() -> None:
    """[MQTT-3.1.2-24] Its packets become longer on their way: by the topic, and from MQTT 3 to 5 by a byte or two."""
    topic = "a/" + "t" * 100
    check([Reader(5, [1], limit=limit) for limit in range(108, 140)], [Write(5, topic, [10] * 5, alias=True)])
    check([Reader(5, [0], limit=limit) for limit in range(120, 150)],
          [Write(4, "a/b", [size] * 5) for size in (110, 121)])


DEEP = "/".join("a" * 12)
WIDEST = 268_435_455


def overlapping(bench: Bench, name: str, count: int, **options: Any) -> Raw:
    """A client with so many subscriptions to DEEP, their identifiers as long as they get."""
    client = bench.client(name, **options)
    filters = itertools.islice(itertools.product("a+", repeat=12), count)
    pid = client.next_pid()
    client.send(packet_bytes(0x82, struct.pack("!H", pid) + client.props({"subscription_id": WIDEST})
                             + b"".join(text("/".join(levels)) + b"\0" for levels in filters)))
    client.answer(SUBACK, pid)
    return client


def test_thousands_of_identifiers_fit_the_subscriber() -> None:
    """[MQTT-3.1.2-24] Either length of a packet from MQTT 3 takes three bytes on its way."""
    bench, count = Bench(), 3_300
    writer = bench.client("writer", 4)
    size = len(writer.publish_packet(DEEP, b"x")) + 3 + 2 + 5 * count
    readers = [overlapping(bench, f"reader{less}", count, maximum_packet_size=size - less) for less in range(3)]
    writer.send(writer.publish_packet(DEEP, b"x") * 2)
    bench.turn()
    for reader, expected in zip(readers, (2, 0, 0), strict=True):
        got = received(reader, {})
        assert [packet.props["subscription_id"] for packet in got] == [[WIDEST] * count] * expected


def test_a_run_stays_small_where_identifiers_make_it_long() -> None:
    """2,000 messages of 28 bytes in one write become 40 MB for a subscriber, who reads nothing: no more is made of them
    than may wait for his socket."""
    bench = Bench()
    reader, writer = overlapping(bench, "reader", 4_096), bench.client("writer", 4)
    writer.send(writer.publish_packet(DEEP, b"x") * 2_000)
    bench.turn()
    assert 0 < bench.broker.sessions["reader"].channel.send_pend < 20_000_000
    reader.drop()
