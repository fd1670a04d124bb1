"""The broker's main paths, one after the other, for a tool that counts instructions: see test_instructions.py.

Run by itself it prints how many messages (or connections) each part is about, in order. Every part is prepared, warmed
up with one round, marked, and done; what the tool counts is what happens inside `Reactor.turn`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from emqx_mgmt.broker import Broker
from emqx_mgmt.broker.auth.acl_rules import AclRules
from emqx_mgmt.settings.acl_file import SHIPPED, parse_rules
from router_ext.engine.channel import Channel
from router_ext.engine.reactor import Reactor
from router_ext.message.retained_store import RetainedStore
from router_ext.net.metrics import Metrics
from router_ext.session.zone import Zone
from tests.clients.raw import Raw, packet_bytes, text
from tests.harness import ADDRESS, Door

# The tool begins a new part whenever the counters are asked for, which nothing else here does.
mark = Metrics().snapshot
PAYLOAD = bytes(64)
NOW = 1_000_000
Work = Callable[[], None]


class Place:
    """A broker without a clock, and clients at the other ends of socket pairs."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.reactor = Reactor(self.broker.engine)
        self.zone = Zone("counted", idle_timeout=0, max_topic_alias=1)
        self.broker.engine.now = NOW

    def turn(self) -> None:
        while self.reactor.turn(NOW):
            pass

    def open(self, version: int = 4) -> Raw:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        Channel(self.broker.engine, self.zone, theirs.detach(), ADDRESS, Door(), self.reactor.fileno())
        return Raw(ours, version, self.turn)

    def client(self, name: str, subscribe: str = "", qos: int = 0, version: int = 4, **props: Any) -> Raw:
        client = self.open(version).connect(name)
        if subscribe:
            client.subscribe(subscribe, qos=qos, **props)
        return client


def drain(clients: list[Raw]) -> int:
    """Reads what came, unseen; returns how many bytes."""
    got = 0
    for client in clients:
        try:
            while data := client.sock.recv(1 << 20):
                got += len(data)
        except BlockingIOError:
            pass
    return got


def flow(publishers: int, subscribers: int, batch: int, version: int = 4, described: bool = False) -> tuple[int, Work]:
    """QoS 0: each publisher writes `batch` messages, everybody gets them all. `described` (MQTT 5): with a topic alias
    and properties, and each subscription has an identifier of its own."""
    place = Place()
    topic, props = "a/topic/of/some/length", {"user_property": [("unit", "mV")]} if described else {}
    readers = [place.client(f"s{i}", topic, version=version, **({"subscription_id": i + 1} if described else {}))
               for i in range(subscribers)]
    writers = [place.client(f"p{i}", version=version) for i in range(publishers)]
    data = writers[0].publish_packet(topic, PAYLOAD, **props) * batch
    reach = len(data) * publishers * subscribers
    if described:
        for writer in writers:
            writer.send_publish(topic, PAYLOAD, topic_alias=1)
        place.turn()
        drain(readers)
        data = writers[0].publish_packet("", PAYLOAD, **props, topic_alias=1) * batch
        reach += 2 * batch * publishers * subscribers  # an identifier below 128

    def round() -> None:
        for writer in writers:
            writer.send(data)
        place.turn()
        assert drain(readers) == reach

    return publishers * batch * subscribers, round


def pairs(number: int) -> tuple[int, Work]:
    """QoS 0: each publisher has a topic and a subscriber of its own, and writes one message."""
    place = Place()
    topics = [f"a/topic/of/some/{i}" for i in range(number)]
    readers = [place.client(f"s{i}", topic) for i, topic in enumerate(topics)]
    writers = [place.client(f"p{i}") for i in range(number)]
    packets = [writer.publish_packet(topic, PAYLOAD) for writer, topic in zip(writers, topics, strict=True)]

    def round() -> None:
        for writer, packet in zip(writers, packets, strict=True):
            writer.send(packet)
        place.turn()
        assert drain(readers) == sum(map(len, packets))

    return number, round


def long_payload() -> tuple[int, Work]:
    """QoS 0: 1 MB in one message that comes in ten pieces; most of what is counted is copying."""
    place = Place()
    reader, writer = place.client("s", "a/topic/of/some/length"), place.client("p")
    packet = writer.publish_packet("a/topic/of/some/length", bytes(1_000_000))
    pieces = [packet[begin:begin + 100_000] for begin in range(0, len(packet), 100_000)]

    def round() -> None:
        for piece in pieces:
            writer.send(piece)
            place.turn()
        got = drain([reader])
        while got < len(packet):
            place.turn()
            got += drain([reader])
        assert got == len(packet)

    return 1, round


def acknowledged(qos: int, batch: int = 32) -> tuple[int, Work]:
    """QoS 1 or 2 from one to one; both clients take part in all of the exchange."""
    place = Place()
    reader, writer = place.client("s", "a/topic/of/some/length", qos), place.client("p")
    identifiers = range(1, batch + 1)
    messages = b"".join(writer.publish_packet("a/topic/of/some/length", PAYLOAD, qos, pid=pid) for pid in identifiers)
    given = 0

    def acks(first_byte: int, first: int) -> bytes:
        return b"".join(struct.pack("!BBH", first_byte, 2, (first + i - 1) % 65535 + 1) for i in range(batch))

    def round() -> None:
        nonlocal given
        writer.send(messages)
        place.turn()
        assert drain([reader]) == len(messages)
        if qos == 1:
            reader.send(acks(0x40, given + 1))
            place.turn()
        else:
            writer.send(acks(0x62, 1))
            reader.send(acks(0x50, given + 1))
            place.turn()
            assert drain([reader]) == 4 * batch  # PUBREL
            reader.send(acks(0x70, given + 1))
            place.turn()
        given += batch
        assert drain([writer]) == 4 * batch * qos

    return batch, round


def connects(version: int = 4) -> tuple[int, Work]:
    """CONNECT with a clean session, and DISCONNECT."""
    place = Place()

    def round() -> None:
        client = place.open(version)
        client.connect("a-client-id")
        client.send(b"\xe0\x00")
        place.turn()
        client.drop()

    return 1, round


def filters(number: int = 50) -> tuple[int, Work]:
    """SUBSCRIBE and then UNSUBSCRIBE, so many filters a packet, under the ACL file that is shipped."""
    place = Place()
    place.zone.enable_acl = True
    place.broker.access.use(AclRules(parse_rules(SHIPPED)))
    place.broker.engine.retained = RetainedStore()
    client = place.client("a-client-id")
    names = [text(f"fleet/{i:07}/+/state/#") for i in range(number)]
    subscribe = packet_bytes(0x82, b"\0\1" + b"\0".join(names) + b"\0")
    unsubscribe = packet_bytes(0xA2, b"\0\2" + b"".join(names))

    def round() -> None:
        client.send(subscribe)
        place.turn()
        assert client.packet().codes == [0] * number
        client.send(unsubscribe)
        place.turn()
        client.packet()

    return number, round


PARTS: dict[str, tuple[int, Callable[[], tuple[int, Work]]]] = {
    "QoS 0, 64 a write": (20, lambda: flow(1, 1, 64)),
    "QoS 0, one a write": (100, lambda: flow(1, 1, 1)),
    "QoS 0, 1 to 100": (5, lambda: flow(1, 100, 1)),
    "QoS 0, 100 to 1": (2, lambda: flow(100, 1, 16)),
    "QoS 0, 64 a write, MQTT 5": (20, lambda: flow(1, 1, 64, 5)),
    "QoS 0, 1 to 100, 64 a write": (1, lambda: flow(1, 100, 64)),
    "QoS 0, 1 to 100, 64 a write, MQTT 5 described": (1, lambda: flow(1, 100, 64, 5, True)),
    "QoS 0, 100 pairs, one a write": (2, lambda: pairs(100)),
    "QoS 0, 16 a write": (20, lambda: flow(1, 1, 16)),
    "QoS 0, 16 a write, MQTT 5 described": (20, lambda: flow(1, 1, 16, 5, True)),
    "QoS 0, 1 MB": (2, long_payload),
    "QoS 1": (20, lambda: acknowledged(1)),
    "QoS 2": (20, lambda: acknowledged(2)),
    "connect": (20, connects),
    "connect, MQTT 5": (20, lambda: connects(5)),
    "a filter, 50 a packet": (10, filters),
}


def run() -> Iterator[tuple[str, int]]:
    for name, (rounds, prepare) in PARTS.items():
        number, work = prepare()
        work()
        mark()
        for _ in range(rounds):
            work()
        mark()
        yield name, number * rounds


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    for name, number in run():
        print(number, name, sep="\t")
