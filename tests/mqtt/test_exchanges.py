"""Publisher, broker and subscriber under everything a network does: connections that break at any byte, packets that
are lost with them, take-over, retries. Every QoS 2 message arrives exactly once, every QoS 1 message at least once,
both in the order in which they were published [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.6.0-5] [MQTT-4.6.0-6]."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.clients.raw import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Closed, Packet, Raw
from tests.harness import Bench

MOST_OPEN = 20  # exchanges of the publisher


@dataclass
class Peer:
    """A client that keeps its half of the session, as the specification has it in section 4.3."""

    bench: Bench
    name: str
    version: int
    raw: Raw | None = None
    outgoing: list[bytes] = field(default_factory=list)  # packets that are not in the socket yet

    def connect(self) -> None:
        """Also while an earlier connection is still open: it is taken over."""
        raw = self.bench.open(self.version)
        options = {"session_expiry": 1 << 31} if self.version == 5 else {}
        raw.send(raw.connect_packet(self.name, clean=False, **options))
        self.outgoing.clear()
        self.raw = raw
        assert raw.expect(CONNACK, code=0)
        self.connected()

    def connected(self) -> None:
        """What the specification asks of a client whose session goes on [MQTT-4.4.0-1]."""

    def break_off(self, after_bytes: int) -> None:
        """The connection ends when so many bytes of what was to be sent have left."""
        raw, self.raw = self.raw, None
        left = b"".join(self.outgoing)[:after_bytes]
        self.outgoing.clear()
        with suppress(OSError):
            raw.send(left)
        raw.drop()
        self.bench.turn()

    def send_some(self, count: int) -> None:
        for _ in range(min(count, len(self.outgoing))):
            self.raw.send(self.outgoing.pop(0))
        self.bench.turn()

    def read_some(self, count: int) -> int:
        """Handles up to so many packets that have come; how many that were."""
        for number in range(count):
            packet = self.raw.buffered()
            while packet is None and self.raw.read():
                packet = self.raw.buffered()
            if packet is None:
                return number
            self.handle(packet)
        return count

    def handle(self, packet: Packet) -> None:
        raise NotImplementedError

    def ack(self, kind: int, pid: int) -> None:
        self.outgoing.append(bytes([kind << 4 | (2 if kind == PUBREL else 0), 2, pid >> 8, pid & 255]))


@dataclass
class Exchange:
    pid: int
    qos: int
    payload: bytes
    released: bool = False  # PUBREC has come


@dataclass
class Publisher(Peer):
    open: list[Exchange] = field(default_factory=list)  # in order of publishing
    published: list[Exchange] = field(default_factory=list)

    def publish(self, qos: int) -> None:
        used = {exchange.pid for exchange in self.open}
        exchange = Exchange(min(set(range(1, MOST_OPEN + 2)) - used), qos, b"%d" % len(self.published))
        self.published.append(exchange)
        self.open.append(exchange)
        self.put(exchange, False)

    def put(self, exchange: Exchange, dup: bool) -> None:
        self.outgoing.append(self.raw.publish_packet(
            f"topic/{exchange.qos}", exchange.payload, exchange.qos, pid=exchange.pid, dup=dup))

    def connected(self) -> None:
        for exchange in self.open:
            if exchange.released:
                self.ack(PUBREL, exchange.pid)
            else:
                self.put(exchange, True)

    def handle(self, packet: Packet) -> None:
        exchange = next((one for one in self.open if one.pid == packet.pid), None)
        assert packet.code in (0, 0x10, 0x92), packet
        if exchange is None:
            return
        if packet.kind == PUBREC:
            assert exchange.qos == 2
            exchange.released = True
            self.ack(PUBREL, packet.pid)
        else:
            assert packet.kind == (PUBACK if exchange.qos == 1 else PUBCOMP)
            self.open.remove(exchange)


@dataclass
class Subscriber(Peer):
    received: set[int] = field(default_factory=set)  # QoS 2 packet ids that wait for PUBREL
    delivered: list[tuple[str, bytes]] = field(default_factory=list)

    def handle(self, packet: Packet) -> None:
        if packet.kind == PUBREL:
            self.received.discard(packet.pid)
            self.ack(PUBCOMP, packet.pid)
            return
        assert packet.kind == PUBLISH, packet
        assert packet.topic == f"topic/{packet.qos}"
        if packet.qos == 1 or packet.pid not in self.received:
            self.delivered.append((packet.topic, packet.payload))
        if packet.qos == 2:
            self.received.add(packet.pid)
        self.ack(PUBACK if packet.qos == 1 else PUBREC, packet.pid)


def settle(*peers: Peer) -> None:
    """Goes on until nothing moves any more."""
    idle = 0
    while idle < 3:
        moved = sum(peer.read_some(1000) + len(peer.outgoing) for peer in peers)
        for peer in peers:
            peer.send_some(1000)
        idle = 0 if moved else idle + 1


def once(values: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(values))


class Exchanges(RuleBasedStateMachine):

    @initialize(version=st.sampled_from([3, 4, 5]), reader_version=st.sampled_from([3, 4, 5]),
                window=st.sampled_from([0, 1, 2, 32]), queue=st.sampled_from([0, 1, 1000]))
    def begin(self, version: int, reader_version: int, window: int, queue: int) -> None:
        # A full queue holds publishers up while the subscriber keeps up, and loses messages when it does not.
        self.may_lose = queue == 1
        self.bench = Bench(max_inflight=window, max_mqueue_len=queue, retry_interval=5000, await_rel_timeout=0,
                           session_expiry_interval=1 << 31)
        self.publisher = Publisher(self.bench, "publisher", version)
        self.subscriber = Subscriber(self.bench, "subscriber", reader_version)
        self.subscriber.connect()
        self.subscriber.raw.subscribe("topic/+", qos=2)
        self.publisher.connect()

    @precondition(lambda self: self.publisher.raw is not None and len(self.publisher.open) < MOST_OPEN)
    @rule(qos=st.sampled_from([1, 2]))
    def publish(self, qos: int) -> None:
        self.publisher.publish(qos)

    @precondition(lambda self: self.publisher.raw is not None)
    @rule(count=st.integers(1, 5))
    def publisher_sends(self, count: int) -> None:
        self.publisher.send_some(count)

    @precondition(lambda self: self.publisher.raw is not None)
    @rule(count=st.integers(1, 5))
    def publisher_reads(self, count: int) -> None:
        self.publisher.read_some(count)

    @precondition(lambda self: self.subscriber.raw is not None)
    @rule(count=st.integers(1, 5))
    def subscriber_reads(self, count: int) -> None:
        self.subscriber.read_some(count)

    @precondition(lambda self: self.subscriber.raw is not None)
    @rule(count=st.integers(1, 5))
    def subscriber_sends(self, count: int) -> None:
        self.subscriber.send_some(count)

    @precondition(lambda self: self.publisher.raw is not None)
    @rule(after_bytes=st.integers(0, 60))
    def publisher_breaks_off(self, after_bytes: int) -> None:
        self.publisher.break_off(after_bytes)

    @precondition(lambda self: self.subscriber.raw is not None and not self.may_lose)
    @rule(after_bytes=st.integers(0, 20))
    def subscriber_breaks_off(self, after_bytes: int) -> None:
        self.subscriber.break_off(after_bytes)

    @rule()
    def publisher_connects(self) -> None:
        self.publisher.connect()

    @precondition(lambda self: not self.may_lose)
    @rule()
    def subscriber_connects(self) -> None:
        self.subscriber.connect()

    @precondition(lambda self: not self.may_lose)
    @rule(seconds=st.sampled_from([0.1, 1, 6]))
    def time_passes(self, seconds: float) -> None:
        self.bench.later(seconds)

    def teardown(self) -> None:
        """In the end both come back, and everything that is open is brought to its end."""
        if not hasattr(self, "bench"):
            return
        for peer in (self.publisher, self.subscriber):
            if peer.raw is None:
                peer.connect()
        settle(self.publisher, self.subscriber)
        assert self.publisher.open == []
        for qos in (1, 2):
            sent = [exchange.payload for exchange in self.publisher.published if exchange.qos == qos]
            got = [payload for topic, payload in self.subscriber.delivered if topic == f"topic/{qos}"]
            assert once(got) == sent
            assert qos == 1 or len(got) == len(sent)
        session = self.bench.broker.sessions["subscriber"]
        assert (session.inflight_len, session.mqueue_len, session.mqueue_dropped) == (0, 0, 0)
        assert self.bench.broker.sessions["publisher"].awaiting_rel_len == 0


class TestExchanges(Exchanges.TestCase):
    settings = settings(max_examples=60, stateful_step_count=40, deadline=None,
                        suppress_health_check=list(HealthCheck))


def test_a_publisher_cut_at_every_byte():
    """Each place at which a PUBLISH, a PUBREL and what lies between them may be cut."""
    for version in (3, 4, 5):
        whole = len(Raw.publish_packet(Bench().open(version), "topic/2", b"0", 2, pid=1)) + 4
        for cut in range(whole + 1):
            bench = Bench(await_rel_timeout=0)
            subscriber, publisher = Subscriber(bench, "s", 4), Publisher(bench, "p", version)
            subscriber.connect()
            subscriber.raw.subscribe("topic/+", qos=2)
            publisher.connect()
            publisher.publish(2)
            publisher.ack(PUBREL, 1)  # a client that does not wait: what counts is where it is cut
            publisher.break_off(cut)
            publisher.connect()
            while publisher.open or publisher.outgoing or subscriber.outgoing or not subscriber.delivered:
                for peer in (publisher, subscriber):
                    peer.send_some(10)
                    peer.read_some(10)
            assert len(subscriber.delivered) == (1 if cut < whole else 2)


def cut(peer: Peer, other: Peer, sending: bool, after_bytes: int) -> bool:
    """Lets both go on until so many bytes have left the first, or have reached it; False when there are not as many."""
    gone = came = idle = 0
    while idle < 3:
        waiting = len(peer.raw.inbox)
        while peer.raw.read():
            pass
        came += len(peer.raw.inbox) - waiting
        if not sending and came >= after_bytes:
            peer.raw.inbox = peer.raw.inbox[:len(peer.raw.inbox) - (came - after_bytes)]
            peer.read_some(10)  # what it got before the end
            return True
        handled = peer.read_some(10)
        data = b"".join(peer.outgoing)[:after_bytes - gone if sending else None]
        peer.outgoing.clear()
        if data:
            peer.raw.send(data)
            gone += len(data)
        if sending and gone >= after_bytes:
            return True
        other.send_some(10)
        idle = 0 if handled or data or other.read_some(10) else idle + 1
    return False


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("publishing", [True, False], ids=["publisher", "subscriber"])
@pytest.mark.parametrize("sending", [True, False], ids=["sends", "receives"])
def test_exactly_once_wherever_it_is_cut(version: int, publishing: bool, sending: bool):
    """QoS 2 with a connection that ends after each number of bytes, sent or received, of each side; every other time
    the client is back before the broker knows, and takes its own connection over."""
    cuts, more = 0, True
    while more:
        bench = Bench(await_rel_timeout=0)
        subscriber, publisher = Subscriber(bench, "s", version), Publisher(bench, "p", version)
        subscriber.connect()
        subscriber.raw.subscribe("topic/+", qos=2)
        publisher.connect()
        publisher.publish(2)
        publisher.publish(2)
        victim, other = (publisher, subscriber) if publishing else (subscriber, publisher)
        more = cut(victim, other, sending, cuts)
        if more:
            old = victim.raw
            if cuts % 2:
                bench.gone(old)
            victim.outgoing.clear()
            victim.connect()
            old.drop()
        settle(publisher, subscriber)
        assert publisher.open == []
        assert [payload for _, payload in subscriber.delivered] == [b"0", b"1"], cuts
        assert bench.broker.sessions["s"].inflight_len == bench.broker.sessions["p"].awaiting_rel_len == 0
        cuts += 1
    assert cuts > 16


def test_closed_is_told_to_the_peer():
    bench = Bench()
    first, second = Peer(bench, "same", 4), Peer(bench, "same", 4)
    first.connect()
    second.connect()
    try:
        first.read_some(1)
    except Closed:
        return
    raise AssertionError("the connection that was taken over is still open")
