"""Turns of the reactor: what is written when, seen by the number of writes to a client's socket."""

from __future__ import annotations

from router_ext.engine.channel import Channel
from tests.clients.raw import PUBACK, Raw
from tests.harness import Bench


def channel_of(bench: Bench, client_id: str) -> Channel:
    return bench.broker.sessions[client_id].channel


def written_together(bench: Bench, clients: list[Raw], packet: bytes) -> None:
    """All clients' bytes are there before the broker looks."""
    for client in clients:
        client.sock.sendall(packet)
    bench.turn()


def test_many_publishers_to_one_cost_two_writes_a_turn() -> None:
    """The first message goes out before the others are read, and they together."""
    bench = Bench()
    reader = bench.client("reader")
    reader.subscribe("a")
    publishers = [bench.client(f"p{i}") for i in range(20)]
    before = channel_of(bench, "reader").send_cnt
    written_together(bench, publishers, publishers[0].publish_packet("a", b"x"))
    assert channel_of(bench, "reader").send_cnt == before + 2
    assert [reader.message().payload for _ in publishers] == [b"x"] * 20


def test_acknowledgements_of_one_read_are_written_together() -> None:
    bench = Bench()
    reader, publisher = bench.client("reader"), bench.client("publisher")
    reader.subscribe("a", qos=1)
    before = channel_of(bench, "publisher").send_cnt
    written_together(bench, [publisher],
                     b"".join(publisher.publish_packet("a", b"x", qos=1, pid=pid) for pid in range(1, 17)))
    assert channel_of(bench, "publisher").send_cnt == before + 1
    assert [publisher.expect(PUBACK).pid for _ in range(16)] == list(range(1, 17))


def test_a_message_to_oneself_waits_for_the_end_of_the_turn() -> None:
    """What a client reads of its own comes with its acknowledgement, in one write."""
    bench = Bench()
    client = bench.client("alone")
    client.subscribe("a")
    before = channel_of(bench, "alone").send_cnt
    written_together(bench, [client], client.publish_packet("a", b"x", qos=1, pid=9))
    assert channel_of(bench, "alone").send_cnt == before + 1
    assert client.message().payload == b"x"
    client.expect(PUBACK, pid=9)
