"""What the core counts and tells of chosen topics and clients, on every way that a message can take."""

from __future__ import annotations

from typing import Any

import pytest

from router_ext.routing.watch import Watch
from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw
from tests.harness import Bench

NAMES = ("received_qos0", "received_qos1", "received_qos2", "sent_qos0", "sent_qos1", "sent_qos2", "queued",
         "acknowledged", "dropped", "received_bytes", "sent_bytes")


def watched(bench: Bench, topic_filter: str) -> Watch:
    watch = Watch(topic_filter)
    bench.engine.watch(watch)
    return watch


def counted(watch: Watch) -> dict[str, int]:
    """Those that are not 0."""
    return {name: number for name, number in zip(NAMES, watch.figures(), strict=True) if number}


def burst(client: Raw, topic: str, payloads: list[bytes]) -> None:
    client.send(b"".join(client.publish_packet(topic, payload) for payload in payloads))


def take(client: Raw, count: int) -> None:
    for _ in range(count):
        packet = client.packet()
        assert packet.kind == PUBLISH
        if packet.qos:
            client.ack(PUBACK if packet.qos == 1 else PUBREC, packet.pid)
        if packet.qos == 2:
            client.ack(PUBCOMP, client.expect(PUBREL).pid)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_copy_is_counted_by_its_qos(qos: int) -> None:
    bench = Bench()
    watch, other = watched(bench, "a/+"), watched(bench, "b/#")
    readers = [bench.client(f"reader{number}") for number in range(3)]
    for reader in readers:
        reader.subscribe("a/#", qos=1)
    publisher = bench.client("publisher")
    publisher.publish("a/x", b"12345", qos)
    publisher.publish("a/x/deeper", b"not this", 0)
    for reader in readers:
        take(reader, 2)
    bench.turn()
    given = min(qos, 1)
    expected = {f"received_qos{qos}": 1, f"sent_qos{given}": 3, "received_bytes": 5, "sent_bytes": 15}
    assert counted(watch) == expected | ({"acknowledged": 3} if qos else {})
    assert counted(other) == {}


@pytest.mark.parametrize("version", [4, 5])
def test_a_run_is_counted_in_one_piece(version: int) -> None:
    """Subscribers of one's own version get the bytes as they came, others an encoding, members of a group one each."""
    bench = Bench(strategy="round_robin")
    watch = watched(bench, "run")
    plain, first, second = (bench.client(f"reader{number}", version) for number in range(3))
    plain.subscribe("run")
    for member in (first, second):
        member.subscribe("$share/g/run")
    burst(bench.client("publisher", 4), "run", [b"x" * n for n in range(1, 101)])
    take(plain, 100)
    take(first, 50)
    take(second, 50)
    assert counted(watch) == {
        "received_qos0": 100, "sent_qos0": 200, "received_bytes": 5050, "sent_bytes": 10100}


def test_what_nobody_gets_and_what_is_queued_and_falls_out_of_the_queue() -> None:
    bench = Bench(max_mqueue_len=2)
    watch = watched(bench, "#")
    publisher = bench.client("publisher")
    burst(publisher, "nobody", [b"xx"] * 10)
    publisher.publish("nobody", b"xx", 1)
    assert counted(watch) == {"received_qos0": 10, "received_qos1": 1, "received_bytes": 22, "dropped": 11}
    reader = bench.client("reader", clean=False, session_expiry=1000)
    reader.subscribe("kept", qos=1)
    bench.gone(reader)
    bench.engine.unwatch(watch)
    watch = watched(bench, "kept")
    for _ in range(3):
        publisher.publish("kept", b"x", 1)
    assert counted(watch) == {"received_qos1": 3, "received_bytes": 3, "queued": 3, "dropped": 1}
    take(bench.client("reader", clean=False, session_expiry=1000), 2)
    bench.turn()
    assert counted(watch) == {"received_qos1": 3, "received_bytes": 3, "queued": 3, "dropped": 1, "sent_qos1": 2,
                              "sent_bytes": 2, "acknowledged": 2}


def test_overlapping_watches_count_each_and_one_that_has_ended_counts_no_more() -> None:
    bench = Bench()
    one, two = watched(bench, "a/#"), watched(bench, "a/b")
    publisher = bench.client("publisher")
    publisher.publish("a/b", b"x", 1)
    bench.engine.unwatch(one)
    publisher.publish("a/b", b"x", 1)
    assert (counted(one)["received_qos1"], counted(two)["received_qos1"]) == (1, 2)


class Told:
    """What traces are told."""

    def __init__(self, bench: Bench) -> None:
        self.events: list[tuple[Any, ...]] = []
        bench.broker.hooks.add("message.traced", self._take)
        bench.engine.watches.room = 1000

    def _take(self, event: str, session: Any, message: Any, qos: int, reason: str) -> None:
        self.events.append((event, session and session.client_id, message.topic, message.payload, qos, reason))


def test_a_traced_topic_is_told_step_by_step_in_order() -> None:
    bench = Bench()
    told = Told(bench)
    bench.engine.watch(Watch("a/#", traced=True))
    reader = bench.client("reader")
    reader.subscribe("a/#", "b", qos=1)
    publisher = bench.client("publisher")
    publisher.publish("a/x", b"1", 1)
    publisher.publish("b", b"no", 1)
    burst(publisher, "a/y", [b"2", b"3"])
    take(reader, 4)
    bench.turn()
    assert told.events == [
        ("published", None, "a/x", b"1", 1, ""), ("delivered", "reader", "a/x", b"1", 1, ""),
        ("published", None, "a/y", b"2", 0, ""), ("published", None, "a/y", b"3", 0, ""),
        ("delivered", "reader", "a/y", b"2", 0, ""), ("delivered", "reader", "a/y", b"3", 0, ""),
        ("acknowledged", "reader", "a/x", b"1", 1, ""),
    ]


@pytest.mark.parametrize("whom", ["reader", "publisher"])
@pytest.mark.parametrize("connected", [True, False])
def test_a_traced_client_is_followed_in_both_directions(whom: str, connected: bool) -> None:
    """Whether it was connected before the trace began or comes later."""
    bench = Bench()
    told = Told(bench)
    if not connected:
        bench.engine.trace_clients({whom})
    reader, other, publisher = (bench.client(name) for name in ("reader", "other", "publisher"))
    for each in (reader, other):
        each.subscribe("t")
    if connected:
        bench.engine.trace_clients({whom})
    burst(publisher, "t", [b"1", b"2"])
    publisher.publish("nobody", b"3")
    take(reader, 2)
    take(other, 2)
    delivered = [("delivered", "reader", "t", payload, 0, "") for payload in (b"1", b"2")]
    if whom == "publisher":
        assert told.events[:2] == [("published", None, "t", payload, 0, "") for payload in (b"1", b"2")]
        assert sorted(told.events[2:6]) == sorted([*delivered, *[(one[0], "other", *one[2:]) for one in delivered]])
        assert told.events[6:] == [("published", None, "nobody", b"3", 0, ""),
                                   ("dropped", None, "nobody", b"3", 0, "no_subscribers")]
    else:
        assert told.events == delivered
    told.events.clear()
    bench.engine.trace_clients(set())
    burst(publisher, "t", [b"4"])
    take(reader, 1)
    assert told.events == []


def test_beyond_its_room_a_trace_skips_and_counts() -> None:
    bench = Bench()
    told = Told(bench)
    bench.engine.watches.room = 10
    bench.engine.watch(Watch("a", traced=True))
    reader = bench.client("reader")
    reader.subscribe("a")
    burst(bench.client("publisher"), "a", [b"x"] * 1000)
    take(reader, 1000)
    assert len(told.events) <= 10
    assert bench.engine.watches.skipped >= 990
