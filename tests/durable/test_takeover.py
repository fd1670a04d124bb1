"""Clients that take one session from one another, while its CONNACK waits for the disk."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import Closed, text
from tests.durable.client import CONNACK, DISCONNECT, PUBLISH, Client

Start = Callable[..., BrokerProcess]


class Late(Client):
    """A client that does not wait for its CONNACK; its will is `payload` on topic `will`."""

    def __init__(self, port: int, client_id: str, payload: bytes) -> None:
        self.version, self.within, self.buffer = 5, 20.0, b""
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=self.within)
        self.opened.append(self)
        head = text("MQTT") + b"\x05\x04\0\0" + b"\x05\x11\0\0\0\x3c"
        self.write(0x10, head + text(client_id) + b"\0" + text("will") + len(payload).to_bytes(2, "big") + payload)

    def ends(self) -> list[int]:
        """The kinds of all packets that come until the broker closes the connection."""
        kinds = []
        try:
            while packet := self.receive():
                kinds.append(packet.kind)
        except Closed:
            return kinds
        raise AssertionError(f"only {kinds} came, and no end")


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
    watcher = Client(broker.mqtt_port, "watcher", version=5, clean=True)
    watcher.subscribe("will", 0)
    with disk_that_stands_still(broker):
        first, second, third, last = [Late(broker.mqtt_port, "shared", payload)
                                      for payload in (b"first", b"second", b"third", b"last")]
        assert second.ends() == third.ends() == []
    assert first.ends() == [CONNACK, DISCONNECT]
    assert last.read(CONNACK).body[:2] == b"\x01\0"
    last.close()
    assert [watcher.read(PUBLISH).payload for _ in range(2)] == [b"first", b"last"]


def test_a_client_kicked_before_its_connack_has_no_will(start_broker: Start):
    """[MQTT-3.1.2-8] It was not accepted."""
    broker = start_broker()
    watcher = Client(broker.mqtt_port, "watcher", version=5, clean=True)
    watcher.subscribe("will", 0)
    with disk_that_stands_still(broker):
        early = Late(broker.mqtt_port, "early", b"early")
        wait_until(lambda: broker.api("DELETE", "connections/early").status_code == 200, 10, "the connection")
        assert early.ends() == []
    another = Late(broker.mqtt_port, "another", b"another")
    another.read(CONNACK)
    another.close()
    assert watcher.read(PUBLISH).payload == b"another"
