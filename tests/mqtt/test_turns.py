"""Turns under gevent's loop."""

from __future__ import annotations

import os
import select
import socket

import gevent

from emqx_mgmt.broker import Broker
from router_ext.channel import Channel
from router_ext.hub import not_when_woken, when_woken
from router_ext.reactor import Reactor
from tests.mqtt.bench import ADDRESS, Bench

READ = 1


def test_a_turn_comes_before_all_else_that_the_loop_woke_up_for():
    """With the gevent that is installed. Where it does not, a message waits for the loop's own work."""
    loop = gevent.get_hub().loop
    engine = Broker().engine
    turns_seen = []
    ready = os.eventfd(1, os.EFD_CLOEXEC)
    watcher = loop.io(ready, READ)
    try:
        assert when_woken(loop, Reactor(engine))
        assert not when_woken(loop, Reactor(engine)), "one reactor a process"
        watcher.start(lambda: (turns_seen.append(engine.now), watcher.stop()))
        gevent.sleep(0.02)
    finally:
        watcher.stop()
        os.close(ready)
        not_when_woken(loop)
    assert turns_seen[0] > 0
    engine.now = 0
    gevent.sleep(0.02)
    assert engine.now == 0


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
