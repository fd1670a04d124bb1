"""Publishing while a message is being published: what handlers do must not change what becomes of the message that
called them."""

from __future__ import annotations

import pytest

from router_ext.message.message import Message
from tests.clients.raw import PUBACK, PUBLISH, Raw
from tests.harness import Bench


def burst(client: Raw, topic: str, count: int) -> list[int]:
    pids = [client.next_pid() for _ in range(count)]
    client.send(b"".join(client.publish_packet(topic, b"%d" % i, 1, pid=pid) for i, pid in enumerate(pids)))
    return pids


@pytest.mark.parametrize("depth", [1, 3])
def test_a_hook_that_publishes_within_a_publish(depth: int) -> None:
    """`message.publish`: the handler publishes to an idle client, to a client whose queue is full, and to a shared
    group; each of these messages goes through the handler again. The publisher's acknowledgements still wait for the
    queue that its own messages fill, and for no other."""
    bench = Bench(max_inflight=1, max_mqueue_len=2)
    reader, idle, full, member = (bench.client(name) for name in ("reader", "idle", "full", "member"))
    reader.subscribe("outer", qos=1)
    idle.subscribe("inner/#")
    full.subscribe("filled", qos=1)
    member.subscribe("$share/group/inner/#")

    def publish_more(message: Message) -> Message:
        level = message.topic.count("/") if message.topic.startswith("inner") else 0
        if level < depth and message.topic != "filled":
            bench.broker.publish("inner" + "/x" * (level + 1), message.payload)
            bench.broker.publish("filled", message.payload, qos=1)
        return message

    bench.broker.hooks.add("message.publish", publish_more)
    writer = bench.client("writer")
    pids = burst(writer, "outer", 5)
    assert [writer.expect(PUBACK).pid for _ in range(3)] == pids[:3]  # one is in flight, two fit into the queue
    writer.silent()
    got = []
    for _ in pids:
        packet = reader.expect(PUBLISH)
        got.append(packet.payload)
        reader.ack(PUBACK, packet.pid)
        bench.turn()
    assert got == [b"%d" % i for i in range(5)]
    assert [writer.expect(PUBACK).pid for _ in pids[3:]] == pids[3:]
    inner = [idle.message() for _ in range(5 * depth)]
    assert [packet.topic for packet in inner[:depth]] == ["inner" + "/x" * level for level in range(depth, 0, -1)]
    assert [packet.payload for packet in inner] == [b"%d" % i for i in range(5) for _ in range(depth)]
    assert [member.message().payload for _ in inner] == [packet.payload for packet in inner]


def test_what_is_published_within_a_delivery_leaves_it_as_it_was() -> None:
    """A message that a full queue drops is reported in the middle of a delivery; outside of a turn the engine wakes
    the loop for that at once. Should `wake` publish, the message that came through a shared group is still one of the
    group's, and goes to another member when its session ends [MQTT-4.8.2-5]."""
    bench = Bench(max_mqueue_len=1)
    absent = bench.client("absent", clean=False, session_expiry=1000)
    absent.subscribe("$share/group/t", qos=1)
    nested = bench.client("nested")
    nested.subscribe("$share/nested/u")
    bench.gone(absent)
    woken = []

    def publish_at_once() -> None:
        if not woken:
            woken.append(bench.engine.publish(Message.create("u", b"within", 0, False, "woken")))

    bench.engine.hook_reports(False, True, False)
    bench.broker.publish("t", b"dropped", qos=1)
    bench.engine.wake = publish_at_once
    bench.broker.publish("t", b"kept", qos=1)
    bench.engine.wake = None
    assert woken == [1]
    assert nested.message().payload == b"within"
    other = bench.client("other")
    other.subscribe("$share/group/t", qos=1)
    bench.client("absent", clean=True)  # the former session ends
    bench.turn()
    assert other.message().payload == b"kept"
