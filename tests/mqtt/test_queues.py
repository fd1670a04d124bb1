"""Windows, queues and retries: what waits for a client, and what its publishers are told meanwhile (behaviour of
EMQ X 3, section 16.2)."""

from __future__ import annotations

import pytest

from router_ext.session.zone import Zone
from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw
from tests.harness import Bench


def kept(bench: Bench, client_id: str = "reader", version: int = 5, **options: object) -> Raw:
    """A client whose session outlives its connection."""
    expiry = {"session_expiry": 1000} if version == 5 else {}
    return bench.client(client_id, version, clean=False, **expiry, **options)


def away(bench: Bench, *filters: tuple[str, int]) -> None:
    reader = kept(bench)
    reader.subscribe(*filters)
    bench.gone(reader)


def payloads(client: Raw) -> list[bytes]:
    """Of all messages on their way, in order."""
    got = []
    client.send(b"\xc0\x00")
    while (packet := client.packet()).kind == PUBLISH or packet.kind == PUBREL:
        if packet.kind == PUBREL:
            client.ack(PUBCOMP, packet.pid)
            continue
        got.append(packet.payload)
        if packet.qos:
            client.ack(PUBACK if packet.qos == 1 else PUBREC, packet.pid)
    return got + (payloads(client) if got else [])


def burst(client: Raw, topic: str, values: list[bytes], qos: int) -> list[int]:
    pids = [client.next_pid() for _ in values]
    client.send(b"".join(client.publish_packet(topic, value, qos, pid=pid)
                         for pid, value in zip(pids, values, strict=True)))
    return pids


def numbers(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


# -- queues -------------------------------------------------------------------------------------------


def test_offline_messages_come_in_order():
    """[MQTT-4.6.0-5]"""
    bench = Bench(max_inflight=3)
    away(bench, ("t", 2))
    writer = bench.client("writer")
    for number in range(20):
        writer.publish("t", b"%d" % number, 1 + number % 2)
    assert payloads(kept(bench)) == numbers(20)


def test_a_full_queue_loses_its_oldest():
    bench = Bench(max_mqueue_len=3)
    away(bench, ("t", 1))
    writer = bench.client("writer")
    for number in range(5):
        writer.publish("t", b"%d" % number, 1)
    assert bench.broker.sessions["reader"].mqueue_dropped == 2
    assert bench.engine.metrics.extended()["dropped/queue_full"] == 2
    assert payloads(kept(bench)) == numbers(3, 2)


def test_qos0_pushes_out_nothing_that_is_acknowledged():
    bench = Bench(max_mqueue_len=2)
    away(bench, ("t", 1))
    writer = bench.client("writer")
    writer.publish("t", b"1", 1)
    writer.publish("t", b"2", 1)
    writer.publish("t", b"3", 0)
    writer.publish("t", b"4", 0)
    bench.turn()
    assert payloads(kept(bench)) == [b"1", b"2"]


@pytest.mark.parametrize(("store", "comes"), [(True, [b"0", b"1"]), (False, [b"1"])])
def test_mqueue_store_qos0(store: bool, comes: list[bytes]):
    bench = Bench(mqueue_store_qos0=store)
    away(bench, ("t", 1))
    writer = bench.client("writer")
    writer.publish("t", b"0", 0)
    writer.publish("t", b"1", 1)
    assert payloads(kept(bench)) == comes


@pytest.mark.parametrize(("default", "order"), [
    (0, [b"high", b"middle", b"low", b"other"]), (255, [b"other", b"high", b"middle", b"low"])])
def test_mqueue_priorities(default: int, order: list[bytes]):
    """`mqueue_priorities` and `mqueue_default_priority`: higher ones first, in order within each."""
    priorities = {b"low": 1, b"middle": 5, b"high": 9}
    bench = Bench(mqueue_priorities=priorities, mqueue_default_priority=default, max_inflight=1)
    away(bench, ("#", 1))
    writer = bench.client("writer")
    for round_number in range(2):
        for topic in ("other", "low", "high", "middle"):
            writer.publish(topic, b"%d" % round_number, 1)
    reader = kept(bench)
    packets = [reader.message() for _ in range(8)]
    assert [packet.topic.encode() for packet in packets] == [topic for topic in order for _ in range(2)]
    assert [packet.payload for packet in packets] == [b"0", b"1"] * 4


def test_each_priority_has_its_own_limit():
    bench = Bench(mqueue_priorities={b"a": 1, b"b": 2}, max_mqueue_len=2)
    away(bench, ("#", 1))
    writer = bench.client("writer")
    for number in range(3):
        writer.publish("a", b"a%d" % number, 1)
        writer.publish("b", b"b%d" % number, 1)
    assert payloads(kept(bench)) == [b"b1", b"b2", b"a1", b"a2"]


@pytest.mark.parametrize(("upgrade", "delivered"), [(False, [0, 1, 1]), (True, [1, 1, 2])])
def test_upgrade_qos(upgrade: bool, delivered: list[int]):
    """[MQTT-3.8.4-8] The lower of the two, or with `upgrade_qos` the higher."""
    bench = Bench(upgrade_qos=upgrade)
    reader = bench.client("reader")
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    got = []
    for qos in (0, 1, 2):
        writer.publish("t", b"", qos)
        got.append(reader.message().qos)
    assert got == delivered


# -- a full queue while its client keeps up -----------------------------------------------------------


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_are_withheld(version: int, qos: int):
    """Nothing that was acknowledged is lost: the publisher waits until the subscriber's queue has room."""
    bench = Bench(max_inflight=1, max_mqueue_len=2, max_awaiting_rel=0)
    reader = bench.client("reader", version)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer", version)
    pids = burst(writer, "t", numbers(8), qos)
    kind = PUBACK if qos == 1 else PUBREC
    assert [writer.expect(kind).pid for _ in range(3)] == pids[:3]
    writer.silent()
    got = []
    for pid in pids[3:]:
        packet = reader.expect(PUBLISH)
        got.append(packet.payload)
        reader.ack(PUBACK, packet.pid)
        bench.turn()
        writer.silent() if len(got) <= 5 else writer.expect(kind, pid=pid)
    while len(got) < 8:
        got.append(reader.message().payload)
    assert got == numbers(8)
    assert [writer.expect(kind).pid for _ in pids[3:]] == pids[3:]
    assert bench.broker.sessions["reader"].mqueue_dropped == 0


def test_other_publishers_and_topics_go_on():
    bench = Bench(max_inflight=1, max_mqueue_len=1)
    reader = bench.client("reader")
    reader.subscribe("t", qos=1)
    other = bench.client("other")
    other.subscribe("u", qos=1)
    writer, another = bench.client("writer"), bench.client("another")
    burst(writer, "t", numbers(4), 1)
    writer.expect(PUBACK)
    assert another.publish("u", b"", 1) == 0
    other.message()
    burst(writer, "u", [b"behind"], 1)
    assert other.message().payload == b"behind"  # its socket is read all the same


def test_who_fills_no_queue_does_not_wait():
    """What came from elsewhere has filled it; this client's exchange led to nobody."""
    bench = Bench(max_inflight=1, max_mqueue_len=1)
    reader, writer = bench.client("reader"), bench.client("writer")
    reader.subscribe("t", qos=1)
    writer.send_publish("nobody", b"", 2, pid=9)
    writer.expect(PUBREC, pid=9)
    for payload in numbers(4):
        bench.broker.publish("t", payload, qos=1)
    writer.send_publish("nobody", b"", 2, pid=9, dup=True)
    writer.expect(PUBREC, pid=9)


def test_acknowledgements_leave_in_the_order_of_arrival():
    """[MQTT-4.6.0-2] [MQTT-4.6.0-3]"""
    bench = Bench(max_inflight=1, max_mqueue_len=1)
    reader = bench.client("reader")
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    burst(writer, "t", numbers(3), 1)
    pids = burst(writer, "nobody", [b""], 1)
    assert [writer.expect(PUBACK).pid for _ in range(2)] == [1, 2]
    writer.silent()
    assert payloads(reader) == numbers(3)
    assert [writer.expect(PUBACK).pid for _ in range(2)] == [3, *pids]


@pytest.mark.parametrize("how", ["leaves", "stops to acknowledge"])
def test_who_does_not_keep_up_holds_nobody(how: str):
    bench = Bench(max_inflight=1, max_mqueue_len=1, retry_interval=0)
    reader = kept(bench)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    pids = burst(writer, "t", numbers(4), 1)
    assert [writer.expect(PUBACK).pid for _ in range(2)] == pids[:2]
    writer.silent()
    if how == "leaves":
        bench.gone(reader)
    else:
        bench.later(35)
    assert [writer.expect(PUBACK).pid for _ in range(2)] == pids[2:]


def test_a_client_that_feeds_itself_is_not_held():
    bench = Bench(max_inflight=1, max_mqueue_len=1)
    client = bench.client("client")
    client.subscribe("t", qos=1)
    client.send(b"".join(client.publish_packet("t", b"", 1, pid=pid) for pid in range(1, 5)))
    kinds = [client.packet().kind for _ in range(5)]
    assert kinds.count(PUBACK) == 4


# -- retries and resuming -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4, 5])
def test_retry_as_each_version_allows(version: int):
    """MQTT 3: again after `retry_interval`, with DUP. MQTT 5: only on a new connection [MQTT-4.4.0-1]."""
    bench = Bench(retry_interval=5000)
    reader = bench.client("reader", version)
    reader.subscribe("t", qos=2)
    writer = bench.client("writer")
    writer.publish("t", b"1", 1)
    writer.publish("t", b"2", 2)
    writer.publish("t", b"released", 2)
    first = [reader.expect(PUBLISH, dup=False).pid for _ in range(3)]
    reader.ack(PUBREC, first[2])
    reader.expect(PUBREL, pid=first[2])
    bench.later(4)
    reader.silent()
    bench.later(3)
    if version == 5:
        reader.silent()
        return
    again = [reader.expect(PUBLISH, dup=True).pid for _ in range(2)]
    reader.expect(PUBREL, pid=first[2])
    assert again == first[:2]
    reader.ack(PUBACK, first[0])
    reader.ack(PUBREC, first[1])
    reader.expect(PUBREL)
    reader.ack(PUBCOMP, first[1])
    reader.ack(PUBCOMP, first[2])
    bench.later(20)
    reader.silent()


def test_no_retry_interval_no_retry():
    bench = Bench(retry_interval=0)
    reader = bench.client("reader", 4)
    reader.subscribe("t", qos=1)
    bench.client("writer").publish("t", b"1", 1)
    reader.expect(PUBLISH)
    bench.later(1000)
    reader.silent()


@pytest.mark.parametrize("version", [3, 4, 5])
def test_resuming(version: int):
    """[MQTT-4.4.0-1] [MQTT-4.6.0-1] In flight first, with DUP and the old ids, in the old order; then the queue."""
    bench = Bench(max_inflight=3)
    reader = kept(bench, version=version)
    reader.subscribe("t", qos=2)
    writer = bench.client("writer")
    for number in range(6):
        writer.publish("t", b"%d" % number, 1 + number % 2)
    pids = [reader.expect(PUBLISH).pid for _ in range(3)]
    reader.ack(PUBREC, pids[1])
    reader.expect(PUBREL)
    bench.gone(reader)
    writer.publish("t", b"6", 1)
    reader = kept(bench, version=version)
    assert reader.connack.present
    assert reader.expect(PUBLISH, dup=True, payload=b"0").pid == pids[0]
    reader.expect(PUBREL, pid=pids[1])
    assert reader.expect(PUBLISH, dup=True, payload=b"2").pid == pids[2]
    reader.silent()
    reader.ack(PUBACK, pids[0])
    reader.expect(PUBLISH, dup=False, payload=b"3")
    reader.ack(PUBCOMP, pids[1])
    reader.ack(PUBACK, pids[2])
    assert [reader.expect(PUBLISH, dup=False).payload for _ in range(2)] == [b"4", b"5"]


def test_clean_start_forgets_what_is_in_flight():
    """[MQTT-3.1.2-4]"""
    bench = Bench()
    reader = kept(bench)
    reader.subscribe("t", qos=1)
    bench.client("writer").publish("t", b"", 1)
    reader.expect(PUBLISH)
    bench.gone(reader)
    reader = bench.client("reader", clean=True)
    assert not reader.connack.present
    reader.silent()
    assert bench.broker.router.counts.subscriptions == 0


def test_packet_ids_are_used_once_at_a_time():
    """[MQTT-2.2.1-4] An id in use is never given again; the others go round without it."""
    bench = Bench(max_inflight=32, max_mqueue_len=0)
    reader = bench.client("reader")
    reader.subscribe("t", qos=1)
    bench.broker.publish("t", b"held", 1)
    held = reader.expect(PUBLISH).pid
    came: list[int] = []
    for _ in range(66):
        for _ in range(1000):
            bench.broker.publish("t", b"", 1)
        while len(came) % 1000 or not came or bench.broker.sessions["reader"].mqueue_len:
            packet = reader.expect(PUBLISH)
            came.append(packet.pid)
            reader.ack(PUBACK, packet.pid)
    assert len(came) == 66_000
    assert set(came[:65_534]) == set(range(1, 65536)) - {held}
    assert held not in came
    bench.gone(reader)


def test_what_is_in_flight_comes_again_in_its_order():
    """[MQTT-4.6.0-1] In the order of the first sending, where packet ids have begun anew behind one that is still in
    use."""
    bench = Bench(max_inflight=0, max_mqueue_len=0)
    reader = kept(bench)
    reader.subscribe("t", qos=1)
    for number in range(65_540):
        bench.broker.publish("t", b"%d" % number, 1)
        packet = reader.expect(PUBLISH)
        if number != 3 and number < 65_530:
            reader.ack(PUBACK, packet.pid)
    expected = [b"3", *numbers(10, 65_530)]
    bench.gone(reader)
    again = kept(bench)
    resent = [again.expect(PUBLISH) for _ in expected]
    assert [packet.payload for packet in resent] == expected
    assert all(packet.dup for packet in resent)
    assert [packet.pid for packet in resent] == [4, *range(65_531, 65_536), 1, 2, 3, 5, 6]


def test_a_queue_follows_the_zone_of_its_client():
    """`mqueue_priorities` are those of the listener that the client has come through last."""
    bench = Bench(mqueue_priorities={b"high": 2, b"low": 1}, max_inflight=1)
    away(bench, ("#", 1))
    writer = bench.client("writer")
    for number, topic in enumerate(("low", "high", "low", "high")):
        writer.publish(topic, b"%d" % number, 1)
        bench.now += 1
        bench.turn()
    bench.zone = Zone("plain", idle_timeout=0, max_inflight=1)
    reader = kept(bench)
    assert reader.expect(PUBLISH).payload == b"0"
    bench.gone(reader)
    bench.zone = Zone("reverse", idle_timeout=0, max_inflight=1, mqueue_priorities={b"high": 1, b"low": 2})
    assert payloads(kept(bench)) == [b"0", b"2", b"1", b"3"]
