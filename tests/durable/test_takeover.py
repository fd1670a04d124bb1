"""Clients that take one session from one another, while its CONNACK waits for the disk."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import CONNACK, DISCONNECT, PUBLISH, Raw, connected

Start = Callable[..., BrokerProcess]


def late(port: int, client_id: str, payload: bytes) -> Raw:
    """A client that does not wait for its CONNACK; its will is `payload` on topic `will`."""
    client = Raw.dial(port)
    client.send(client.connect_packet(client_id, clean=False, session_expiry=60, will=("will", payload, 0, False)))
    return client


@contextmanager
def disk_that_stands_still(broker: BrokerProcess) -> Iterator[None]:
    """The store's process is stopped meanwhile: nothing is committed."""
    children = psutil.Process(broker.worker.pid).children()
    store = next(child.pid for child in children if "process" in " ".join(child.cmdline()))
    os.kill(store, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(store, signal.SIGCONT)


def test_the_last_of_those_that_wait_is_next(start_broker: Start):
    """The first one gets its CONNACK before it is taken over, the last one gets on, and those between, which were never
    accepted, have no will [MQTT-3.1.2-8] [MQTT-3.1.4-3]."""
    broker = start_broker()
    watcher = connected(broker.mqtt_port, "watcher", version=5, clean=True)
    watcher.subscribe("will", qos=0)
    with disk_that_stands_still(broker):
        first, second, third, last = [late(broker.mqtt_port, "shared", payload)
                                      for payload in (b"first", b"second", b"third", b"last")]
        second.closed()
        third.closed()
    assert [packet.kind for packet in first.rest()] == [CONNACK, DISCONNECT]
    last.expect(CONNACK, present=True, code=0)
    last.drop()
    assert [watcher.expect(PUBLISH).payload for _ in range(2)] == [b"first", b"last"]


def test_a_client_kicked_before_its_connack_has_no_will(start_broker: Start):
    """[MQTT-3.1.2-8] It was not accepted."""
    broker = start_broker()
    watcher = connected(broker.mqtt_port, "watcher", version=5, clean=True)
    watcher.subscribe("will", qos=0)
    with disk_that_stands_still(broker):
        early = late(broker.mqtt_port, "early", b"early")
        wait_until(lambda: broker.api("DELETE", "connections/early").status_code == 200, 10, "the connection")
        early.closed()
    another = late(broker.mqtt_port, "another", b"another")
    another.expect(CONNACK)
    another.drop()
    assert watcher.expect(PUBLISH).payload == b"another"
