"""Shared subscriptions (MQTT 5.0, section 4.8.2; behaviour of EMQ X 3, section 16.6)."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.clients.raw import DISCONNECT, PUBACK, PUBLISH, PUBREC, Raw, packet_bytes, text
from tests.harness import Bench


def members(bench: Bench, count: int, topic: str = "$share/g/t", qos: int = 1, **options: object) -> list[Raw]:
    clients = [bench.client(f"member{number}", **options) for number in range(count)]
    for client in clients:
        assert client.subscribe(topic, qos=qos) == [qos]
    return clients


def counted(clients: list[Raw]) -> list[int]:
    """How many messages each has got."""
    counts = []
    for client in clients:
        client.send(b"\xc0\x00")
        count = 0
        while (packet := client.packet()).kind == PUBLISH:
            count += 1
            if packet.qos == 1:
                client.ack(PUBACK, packet.pid)
        counts.append(count)
    return counts


@pytest.mark.parametrize("topic", ["$share/g/t", "$queue/t", "$share/g/#", "$share/g/+"])
@pytest.mark.parametrize("qos", [0, 1])
def test_one_member_gets_each_message(topic: str, qos: int):
    """[MQTT-4.8.2-4]"""
    bench = Bench()
    clients = members(bench, 3, topic)
    outsider = bench.client("outsider")
    outsider.subscribe("t")
    writer = bench.client("writer")
    for _ in range(30):
        writer.publish("t", b"", qos)
    assert sum(counted(clients)) == 30
    assert counted([outsider]) == [30]


def test_groups_are_apart():
    bench = Bench()
    one, two = members(bench, 1, "$share/a/t"), [bench.client("another")]
    two[0].subscribe("$share/b/t")
    bench.client("writer").publish("t", b"", 1)
    assert counted(one) == [1]
    assert counted(two) == [1]


def test_a_client_may_hold_both():
    """A plain and a shared subscription of one client deliver separately."""
    bench = Bench()
    client = bench.client("client")
    client.subscribe(("t", 0), ("$share/g/t", 0))
    bench.client("writer").publish("t", b"")
    assert counted([client]) == [2]
    assert client.unsubscribe("$share/g/t", "$share/g/t", "t") == [0, 0x11, 0]


def test_random():
    bench = Bench(strategy="random")
    clients = members(bench, 2)
    writer = bench.client("writer")
    for _ in range(100):
        writer.publish("t", b"", 1)
    assert all(20 < count < 80 for count in counted(clients))


def test_round_robin():
    bench = Bench(strategy="round_robin")
    clients = members(bench, 3)
    writer = bench.client("writer")
    for _ in range(9):
        writer.publish("t", b"", 1)
    assert counted(clients) == [3, 3, 3]


def test_sticky():
    """One member gets everything of a publisher for as long as it is there."""
    bench = Bench(strategy="sticky")
    clients = members(bench, 3)
    writer = bench.client("writer")
    for _ in range(10):
        writer.publish("t", b"", 1)
    counts = counted(clients)
    assert sorted(counts) == [0, 0, 10]
    bench.gone(clients.pop(counts.index(10)))
    for _ in range(10):
        writer.publish("t", b"", 1)
    assert sorted(counted(clients)) == [0, 10]


def test_hash():
    """The member depends on the publisher's client id, on every connection of it."""
    bench = Bench(strategy="hash")
    clients = members(bench, 4)
    chosen: dict[str, set[int]] = {}
    for name in [f"writer{number}" for number in range(12)] * 2:
        writer = bench.client(name)
        writer.publish("t", b"", 1)
        bench.gone(writer)
        chosen.setdefault(name, set()).add(counted(clients).index(1))
    assert all(len(places) == 1 for places in chosen.values())
    assert len(set.union(*chosen.values())) > 1


def test_dispatch_ack_passes_over_members_who_are_away():
    """`shared_dispatch_ack_enabled`: QoS 1 and 2 go to a member who can take them now; QoS 0 does not ask."""
    bench = Bench(strategy="round_robin")
    bench.engine.shared_dispatch_ack = True
    here, away = members(bench, 2, session_expiry=100)
    bench.gone(away)
    writer = bench.client("writer")
    for _ in range(6):
        writer.publish("t", b"", 1)
    assert counted([here]) == [6]
    bench.gone(here)
    writer.publish("t", b"", 1)  # nobody is there: one of them gets it later
    waiting = [bench.client(f"member{number}", clean=False, session_expiry=100) for number in (0, 1)]
    assert sum(counted(waiting)) == 1


def test_dispatch_ack_keeps_turns_while_nobody_is_there():
    bench = Bench(strategy="round_robin")
    bench.engine.shared_dispatch_ack = True
    for client in members(bench, 2, session_expiry=100):
        bench.gone(client)
    writer = bench.client("writer")
    for _ in range(6):
        writer.publish("t", b"", 1)
    assert [bench.broker.sessions[f"member{number}"].mqueue_len for number in (0, 1)] == [3, 3]


def test_without_dispatch_ack_members_who_are_away_have_their_turn():
    bench = Bench(strategy="round_robin")
    here, away = members(bench, 2, session_expiry=100)
    bench.gone(away)
    writer = bench.client("writer")
    for _ in range(6):
        writer.publish("t", b"", 1)
    assert counted([here, bench.client("member1", clean=False)]) == [3, 3]


@pytest.mark.parametrize("end", ["connection", "expiry", "clean start"])
def test_what_a_member_leaves_goes_to_another(end: str):
    """QoS 1 without its PUBACK, and QoS 1 and 2 not yet sent; but a QoS 2 message that was sent ends with its session
    [MQTT-4.8.2-5]."""
    bench = Bench(strategy="sticky", max_inflight=2)
    expiry = 0 if end == "connection" else 10
    leaver = bench.client("leaver", session_expiry=expiry)
    leaver.subscribe("$share/g/t", qos=2)
    writer = bench.client("writer")
    for payload, qos in ((b"sent 1", 1), (b"sent 2", 2), (b"queued 1", 1), (b"queued 2", 2)):
        writer.publish("t", payload, qos)
    assert [leaver.expect(PUBLISH).payload for _ in range(2)] == [b"sent 1", b"sent 2"]
    stayer = bench.client("stayer")
    stayer.subscribe("$share/g/t", qos=2)
    bench.gone(leaver)
    if end == "expiry":
        stayer.silent()
        bench.later(11)
    elif end == "clean start":
        bench.client("leaver", clean=True)
    assert [stayer.message().payload for _ in range(3)] == [b"sent 1", b"queued 1", b"queued 2"]
    stayer.silent()


def test_what_was_acknowledged_stays_so():
    """[MQTT-4.8.2-6] A member's PUBACK ends it, whatever the reason code."""
    bench = Bench(strategy="sticky")
    leaver = bench.client("leaver")
    leaver.subscribe("$share/g/t", qos=2)
    writer = bench.client("writer")
    writer.publish("t", b"1", 1)
    writer.publish("t", b"2", 2)
    leaver.ack(PUBACK, leaver.expect(PUBLISH).pid, 0x80)
    leaver.ack(PUBREC, leaver.expect(PUBLISH).pid, 0x80)
    leaver.silent()
    stayer = bench.client("stayer")
    stayer.subscribe("$share/g/t", qos=2)
    bench.gone(leaver)
    stayer.silent()


def test_a_plain_subscription_leaves_nothing_to_the_group():
    bench = Bench()
    leaver = bench.client("leaver")
    leaver.subscribe(("t", 1), ("$share/g/other", 1))
    bench.client("writer").publish("t", b"", 1)
    leaver.expect(PUBLISH)
    stayer, = members(bench, 1, "$share/g/#")
    bench.gone(leaver)
    stayer.silent()


def test_a_member_of_two_groups_leaves_each_its_own():
    bench = Bench()
    leaver = bench.client("leaver")
    leaver.subscribe(("$share/a/t", 1), ("$share/b/t", 1))
    bench.client("writer").publish("t", b"", 1)
    assert len([leaver.expect(PUBLISH), leaver.expect(PUBLISH)]) == 2
    stayers = [bench.client("stays in a"), bench.client("stays in b")]
    for stayer, group in zip(stayers, "ab", strict=True):
        stayer.subscribe(f"$share/{group}/t", qos=1)
    bench.gone(leaver)
    assert counted(stayers) == [1, 1]


def test_no_retained_messages():
    """Section 4.8.2"""
    bench = Bench()
    bench.client("writer").publish("t", b"kept", 1, retain=True)
    client, = members(bench, 1)
    client.silent()


def test_no_local_is_a_protocol_error():
    """[MQTT-3.8.3-4]"""
    client = Bench().client("client")
    client.send(b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x04")
    client.expect(DISCONNECT, code=0x82)


@pytest.mark.parametrize("topic", ["$share/g", "$share//t", "$share/+/t", "$share/#/t", "$share/g/", "$queue/"])
def test_names_that_are_none(topic: str):
    """[MQTT-4.8.2-1] [MQTT-4.8.2-2]"""
    client = Bench().client("client")
    client.send(packet_bytes(0x82, b"\0\1\0" + text(topic) + b"\0"))
    client.expect(DISCONNECT, code=0x8F)
    client.closed()


def test_switched_off():
    """Section 3.2.2.3.13: told in CONNACK; 0x9E"""
    bench = Bench(shared_subscription=False)
    client = bench.client("client")
    assert client.connack.props["shared_available"] == 0
    assert client.subscribe("$share/g/t", "$queue/t", "t") == [0x9E, 0x9E, 0]


def test_each_gets_the_qos_it_asked_for():
    """Section 4.8.2: the QoS is that of the chosen member's subscription."""
    bench = Bench(strategy="round_robin")
    clients = [bench.client(f"member{qos}") for qos in (0, 1, 2)]
    for qos, client in enumerate(clients):
        client.subscribe("$share/g/t", qos=qos)
    writer = bench.client("writer")
    for _ in range(3):
        writer.publish("t", b"", 2)
    sent = Counter({name: bench.broker.metrics()[f"messages/{name}/sent"] for name in ("qos0", "qos1", "qos2")})
    assert sent == {"qos0": 1, "qos1": 1, "qos2": 1}
