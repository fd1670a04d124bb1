"""Clients of the soak whose books must balance: what each one sent, and what came of it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Closed, Packet, Raw
from tests.listeners.secured import Secured
from tests.listeners.transports import connection

WINDOW = 10
BROKEN = (Closed, OSError, AssertionError, ValueError)
AWAY_S = 1.5
EXPIRY_S = 7200


@dataclass(slots=True)
class Place:
    """How a client reaches the broker."""

    secured: Secured
    transport: str
    version: int = 4

    def connect(self, client_id: str, *, clean: bool = False, will: tuple[str, bytes, int] | None = None) -> Raw:
        sock = connection(self.secured, self.transport)
        try:
            return Raw(sock, self.version).connect(client_id, clean=clean, session_expiry=0 if clean else EXPIRY_S,
                                                   will=will and (*will, False))
        except BaseException:
            sock.close()
            raise


def cut(client: Raw, *, reset: bool) -> None:
    """Breaks a connection that another thread reads from. Not by TLS, and not by closing the descriptor."""
    sock = getattr(client.sock, "sock", client.sock)
    with contextlib.suppress(OSError, AttributeError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


@dataclass
class Part:
    """One end of a stream: it keeps its session over any number of connections."""

    name: str
    qos: int
    topic: str
    place: Place
    client: Raw | None = None
    wrong: list[str] = field(default_factory=list)
    connects: int = 0

    @contextlib.contextmanager
    def connected(self) -> Iterator[Raw | None]:
        """A connection, or None when it could not be had; the block ends silently when it breaks."""
        client = None
        try:
            client = self.place.connect(self.name)
            self.connects += 1
            self.client = client
            yield client
        except BROKEN:
            if client is None:
                time.sleep(0.1)
                yield None
        finally:
            self.client = None
            if client is not None:
                client.drop()


@dataclass
class Publisher(Part):
    """Publishes numbers from 1 in order, `rate` a second, and repeats what was not confirmed."""

    rate: float = 50.0
    sent: int = 0
    confirmed: int = 0
    pending: dict[int, tuple[int, str]] = field(default_factory=dict)  # packet id -> number, state

    def run(self, stop: threading.Event) -> None:
        """Until told to stop and everything is confirmed."""
        began = time.monotonic()
        while not stop.is_set() or self.pending:
            with self.connected() as client:
                if client is None:
                    continue
                self.repeat(client)
                while not stop.is_set() or self.pending:
                    if not stop.is_set():
                        self.fill(client, int((time.monotonic() - began) * self.rate))
                    self.hear(client, 0.05)

    def repeat(self, client: Raw) -> None:
        for pid, (number, state) in self.pending.items():
            if state == "released":
                client.ack(PUBREL, pid)
            else:
                client.send_publish(self.topic, b"%d" % number, self.qos, pid, dup=True)

    def fill(self, client: Raw, due: int) -> None:
        while len(self.pending) < WINDOW and self.sent < due:
            pid = next(free for free in range(1, WINDOW + 1) if free not in self.pending)
            self.sent += 1
            self.pending[pid] = (self.sent, "sent")
            client.send_publish(self.topic, b"%d" % self.sent, self.qos, pid)

    def hear(self, client: Raw, within: float) -> None:
        packet = client.receive(within)
        if packet is None or packet.pid not in self.pending:
            return
        if packet.code >= 0x80 and packet.kind != PUBCOMP:  # which says 0x92 where an earlier one was lost
            self.wrong.append(f"refused with {packet.code:#x}")
        number, _ = self.pending[packet.pid]
        if packet.kind == PUBREC:
            self.pending[packet.pid] = (number, "released")
            client.ack(PUBREL, packet.pid)
        elif packet.kind in (PUBACK, PUBCOMP):
            del self.pending[packet.pid]
            self.confirmed += 1


@dataclass
class Subscriber(Part):
    """Expects numbers from 1 in order. A number may come again at QoS 1, never at QoS 2."""

    last: int = 0
    repeated: int = 0
    away: bool = False
    unreleased: set[int] = field(default_factory=set)

    def subscribe(self) -> None:
        with self.place.connect(self.name) as client:
            client.subscribe(self.topic, qos=self.qos)
            client.disconnect()

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self.away:
                self.away = False
                stop.wait(AWAY_S)
            with self.connected() as client:
                while client is not None and not stop.is_set():
                    packet = client.receive(0.2)
                    if packet is not None:
                        self.take(client, packet)

    def take(self, client: Raw, packet: Packet) -> None:
        if packet.kind == PUBLISH:
            if self.qos == 1 or packet.pid not in self.unreleased:
                self.note(int(packet.payload))
            if self.qos == 2:
                self.unreleased.add(packet.pid)
            client.ack(PUBACK if self.qos == 1 else PUBREC, packet.pid)
        elif packet.kind == PUBREL:
            self.unreleased.discard(packet.pid)
            client.ack(PUBCOMP, packet.pid)

    def note(self, number: int) -> None:
        if number == self.last + 1:
            self.last = number
        elif number > self.last:
            self.wrong.append(f"{number} came after {self.last}")
            self.last = number
        elif self.qos == 2:
            self.wrong.append(f"{number} came again after {self.last}")
        else:
            self.repeated += 1


@dataclass
class Pair:
    """QoS 0 in bursts between two connections that nobody breaks: everything comes, in order."""

    place: Place
    burst: int = 100
    sent: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        name = f"pair-{self.place.transport}"
        try:
            with (self.place.connect(f"{name}-reader", clean=True) as reader,
                  self.place.connect(name, clean=True) as writer):
                reader.subscribe(name, qos=0)
                while not stop.wait(0.1):
                    self.exchange(name, reader, writer)
                reader.disconnect()
                writer.disconnect()
        except Exception as error:
            self.wrong.append(f"{name}: {error!r}")

    def exchange(self, name: str, reader: Raw, writer: Raw) -> None:
        numbers = range(self.sent, self.sent + self.burst)
        writer.send(b"".join(writer.publish_packet(name, struct.pack(">Q", number)) for number in numbers))
        for number in numbers:
            packet = reader.receive(30)
            if packet is None or packet.payload != struct.pack(">Q", number):
                raise AssertionError(f"{packet} instead of {number}")
        self.sent += self.burst


@dataclass
class Comers:
    """Clients that come, say a word to themselves, and go in one way or another."""

    place: Place
    pause: float = 0.05
    visits: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.pause):
            try:
                self.visit()
            except Exception as error:
                self.wrong.append(f"{self.place.transport}: {error!r}")

    def visit(self) -> None:
        self.visits += 1
        name = f"comer-{self.place.transport}-{self.visits}"
        client = self.place.connect(name, clean=True, will=(f"gone/{name}", b"away", 0))
        try:
            client.subscribe(name, qos=1)
            client.send_publish(name, b"word", 1, 7)
            kinds = {client.receive(20).kind for _ in range(2)}  # type: ignore[union-attr]
            assert kinds == {PUBACK, PUBLISH}, kinds
            if self.visits % 3:
                client.disconnect()
            else:
                cut(client, reset=self.visits % 2 == 0)
        finally:
            client.drop()


def until(condition: Callable[[], Any], within: float) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
