"""kill -9 of everything at random moments under load, with books kept outside of the broker.

`DURABLE_ROUNDS` rounds (default 3; `make test-kill` runs 50). What was acknowledged is delivered in order; nothing is
delivered twice at QoS 2; a message may come although its acknowledgement was lost.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Closed, Raw, connected

ROUNDS = int(os.environ.get("DURABLE_ROUNDS", "3"))
IN_FLIGHT = 10


@dataclass
class Publisher:
    """Publishes numbers; `acked` are those whose exchange the broker has confirmed. Goes on where it was."""

    name: str
    qos: int
    next: int = 1
    acked: set[int] = field(default_factory=set)
    pending: dict[int, tuple[int, str]] = field(default_factory=dict)   # packet id -> number, state

    def run(self, port: int, stop: threading.Event) -> None:
        try:
            client = connected(port, self.name)
            for pid, (number, state) in list(self.pending.items()):
                if state == "released":
                    client.ack(PUBREL, pid)
                else:
                    client.send_publish(f"q/{self.qos}", b"%d" % number, self.qos, pid, dup=True)
            while not stop.is_set():
                while len(self.pending) < IN_FLIGHT:
                    pid = next(i for i in range(1, 1000) if i not in self.pending)
                    self.pending[pid] = (self.next, "sent")
                    self.next += 1
                    client.send_publish(f"q/{self.qos}", b"%d" % self.pending[pid][0], self.qos, pid)
                self.hear(client)
        except (Closed, OSError, AssertionError):
            pass

    def hear(self, client: Raw) -> None:
        packet = client.receive(0.5)
        if packet is None or packet.pid not in self.pending:
            return
        number, _ = self.pending[packet.pid]
        if packet.kind == PUBREC:
            self.pending[packet.pid] = (number, "released")
            self.acked.add(number)
            client.ack(PUBREL, packet.pid)
        elif packet.kind in (PUBACK, PUBCOMP):
            self.acked.add(number)
            del self.pending[packet.pid]


@dataclass
class Subscriber:
    """Acknowledges what comes; at QoS 2 it remembers the packet ids that were not released."""

    name: str
    qos: int
    got: list[int] = field(default_factory=list)
    unreleased: set[int] = field(default_factory=set)

    def run(self, port: int, stop: threading.Event, quiet: float | None = None) -> None:
        """Until told to stop, or with `quiet` until nothing has come for so many seconds."""
        heard = time.monotonic()
        try:
            client = connected(port, self.name)
            while not stop.is_set() and (quiet is None or time.monotonic() - heard < quiet):
                packet = client.receive(0.2)
                if packet is not None:
                    heard = time.monotonic()
                    self.take(client, packet)
        except (Closed, OSError, AssertionError):
            pass

    def take(self, client: Raw, packet: object) -> None:
        kind, pid = packet.kind, packet.pid  # type: ignore[attr-defined]
        if kind == PUBLISH and self.qos == 1:
            self.got.append(int(packet.payload))  # type: ignore[attr-defined]
            client.ack(PUBACK, pid)
        elif kind == PUBLISH:
            if pid not in self.unreleased:
                self.unreleased.add(pid)
                self.got.append(int(packet.payload))  # type: ignore[attr-defined]
            client.ack(PUBREC, pid)
        elif kind == PUBREL:
            self.unreleased.discard(pid)
            client.ack(PUBCOMP, pid)


@pytest.mark.timeout(60 + 60 * ROUNDS)
def test_nothing_acknowledged_is_lost(start_broker: Callable[..., BrokerProcess]):
    seed = int(os.environ.get("DURABLE_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "0"})
    publishers = [Publisher("p1", 1), Publisher("p2", 2)]
    subscribers = [Subscriber("s1", 1), Subscriber("s2", 2), Subscriber("late1", 1), Subscriber("late2", 2)]
    for subscriber in subscribers:
        connected(broker.mqtt_port, subscriber.name).subscribe(f"q/{subscriber.qos}", qos=subscriber.qos)
    for _ in range(ROUNDS):
        stop = threading.Event()
        threads = [threading.Thread(target=part.run, args=(broker.mqtt_port, stop))
                   for part in [*publishers, *subscribers[:2 + 2 * chance.randrange(2)]]]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.1, 1.5))    # the moment of the kill is what is random
        broker.kill9()
        stop.set()
        for thread in threads:
            thread.join()
        broker.start()
    for subscriber in subscribers:
        subscriber.run(broker.mqtt_port, threading.Event(), quiet=2.0)
    for subscriber in subscribers:
        judge(subscriber, publishers[subscriber.qos - 1], seed)


def judge(subscriber: Subscriber, publisher: Publisher, seed: int) -> None:
    where = f"{subscriber.name}, seed {seed}"
    assert len(publisher.acked) > 0
    lost = publisher.acked - set(subscriber.got)
    assert not lost, f"{where}: {len(lost)} of {len(publisher.acked)} lost: {sorted(lost)[:10]}"
    if subscriber.qos == 2:
        assert len(subscriber.got) == len(set(subscriber.got)), f"{where}: delivered twice"
        assert subscriber.got == sorted(subscriber.got), f"{where}: out of order"
    else:
        first = list(dict.fromkeys(subscriber.got))
        assert first == sorted(first), f"{where}: out of order"


def test_async_loses_the_end_only(start_broker: Callable[..., BrokerProcess]):
    """`durability = async` acknowledges before: a crash takes the latest, nothing that lies before what is kept. The
    store can be gone on with in the other mode."""
    broker = start_broker({"EMQX_DURABILITY": "async"})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for number in range(1, 301):
        publisher.send_publish("q", b"%d" % number, 1, number)
        publisher.expect(PUBACK)
    broker.kill9()
    broker.env["EMQX_DURABILITY"] = "fsync"
    broker.start()
    keeper = Subscriber("keeper", 1)
    keeper.run(broker.mqtt_port, threading.Event(), quiet=1.0)
    assert keeper.got == list(range(1, len(keeper.got) + 1))


def test_off_touches_no_store(start_broker: Callable[..., BrokerProcess]):
    broker = start_broker({"EMQX_DURABILITY": "off"})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    broker.kill9()
    assert not [file.name for file in broker.data_dir.iterdir() if file.name.startswith(("messages", "journal"))]
    broker.start()
    assert not connected(broker.mqtt_port, "keeper").connack.present
