"""Turns under gevent's loop."""

from __future__ import annotations

import os
import select
import socket

import gevent
import pytest

from emqx_mgmt.broker import Broker
from router_ext.engine.channel import Channel
from router_ext.engine.loop_wakeup import install, remove
from router_ext.engine.reactor import Reactor
from tests.harness import ADDRESS, Bench

READ = 1


def test_a_turn_comes_before_all_else_that_the_loop_woke_up_for():
    """With the gevent that is installed. Where it does not, a message waits for the loop's own work."""
    loop = gevent.get_hub().loop
    engine = Broker().engine
    turns_seen = []
    ready = os.eventfd(1, os.EFD_CLOEXEC)
    watcher = loop.io(ready, READ)
    try:
        assert install(loop, Reactor(engine))
        assert not install(loop, Reactor(engine)), "one reactor a process"
        watcher.start(lambda: (turns_seen.append(engine.now), watcher.stop()))
        gevent.sleep(0.02)
    finally:
        watcher.stop()
        os.close(ready)
        remove(loop)
    assert turns_seen[0] > 0
    engine.now = 0
    gevent.sleep(0.02)
    assert engine.now == 0


@pytest.mark.parametrize(
    ("packet", "many", "answer"),
    [
        (b"\xc0\x00", 20_000, b"\xd0\x00"),
        (b"\x82\x08\x00\x01\x00\x03a/b\x00", 1_000, b"\x90\x03\x00\x01\x00"),
        (b"\xa2\x07\x00\x01\x00\x03a/b", 1_000, b"\xb0\x02\x00\x01"),
    ],
)
def test_many_small_packets_of_one_client_are_more_than_a_turn(packet, many, answer):
    """Or else a client that sends nothing but PINGREQ or SUBSCRIBE would keep all others waiting."""
    bench = Bench()
    client = bench.client("a", version=4)
    client.sock.sendall(packet * many)
    bench.reactor.turn(bench.now)
    answers = client.sock.recv(1 << 18)
    assert 0 < len(answers) // len(answer) < many // 2
    bench.turn()
    while len(answers) < many * len(answer):
        answers += client.sock.recv(1 << 18)
    assert answers == answer * many


def test_a_closed_connection_is_not_polled_while_a_child_process_has_its_descriptor() -> None:
    """Between fork and exec a child has copies of all descriptors: closing ours does not take them from the poller."""
    bench = Bench()
    ours, theirs = socket.socketpair()
    copy = theirs.dup()
    channel = Channel(bench.engine, bench.zone, theirs.detach(), ADDRESS, bench.door, bench.reactor.fileno())
    channel.close("over")
    ours.sendall(b"late")
    with ours, copy, select.epoll.fromfd(os.dup(bench.reactor.fileno())) as poller:
        assert poller.poll(0) == []
