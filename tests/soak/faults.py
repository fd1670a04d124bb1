"""What goes wrong during the soak: broken connections, vandals, a store that stands still, changed certificates."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil

from tests.listeners.secured import CONNECT, Secured
from tests.listeners.transports import frame, upgrade
from tests.soak.streams import BROKEN, Part, Place, Subscriber, cut

HALF_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60)


@dataclass
class Breaker:
    """Ends connections of streams: cut, reset, kicked over REST, taken over, or with the client away for a while."""

    secured: Secured
    parts: list[Part]
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def run(self, stop: threading.Event) -> None:
        ways = (self.cut, self.reset, self.kick, self.take_over, self.leave)
        while not stop.wait(self.chance.uniform(0.05, 0.4)):
            way = self.chance.choice(ways)
            self.done[way.__name__] += 1
            with contextlib.suppress(*BROKEN):
                way(self.chance.choice(self.parts))

    def cut(self, part: Part) -> None:
        if (client := part.client) is not None:
            cut(client, reset=False)

    def reset(self, part: Part) -> None:
        if (client := part.client) is not None:
            cut(client, reset=True)

    def kick(self, part: Part) -> None:
        self.secured.broker.api("DELETE", f"/connections/{part.name}")

    def take_over(self, part: Part) -> None:
        """Connects as somebody else's client id and answers nothing."""
        with part.place.connect(part.name) as thief:
            thief.receive(0.1)
            cut(thief, reset=True)

    def leave(self, part: Part) -> None:
        if isinstance(part, Subscriber):
            part.away = True
        self.cut(part)


@dataclass
class Vandals:
    """Strangers who speak no protocol, half of one, or do not listen."""

    secured: Secured
    chance: random.Random
    acts: int = 0

    def run(self, stop: threading.Event) -> None:
        held: list[socket.socket] = []
        while not stop.wait(0.1):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(("127.0.0.1", self.chance.choice(self.ports)), timeout=5))
                self.act(held[-1])
            while len(held) > 20:
                held.pop(0).close()
        for sock in held:
            sock.close()

    @property
    def ports(self) -> list[int]:
        broker = self.secured.broker
        mqtt = [broker.mqtt_port, self.secured.ssl, self.secured.ws, self.secured.wss]
        return [*mqtt, broker.api_port, broker.dash_port, self.secured.https]

    def act(self, sock: socket.socket) -> None:
        """Says something, and leaves the connection open."""
        self.acts += 1
        sock.sendall(self.chance.choice((
            self.chance.randbytes(200), HALF_HELLO, upgrade()[:60], upgrade() + frame(0x89) * 50, CONNECT[:7],
            upgrade() + frame(0x81, b"text"), CONNECT + b"\xff" * 8, b"GET /api/v3/ HTTP/1.1\r\nHost:", b"",
            CONNECT[:-4] + self.chance.randbytes(4),
        )))


@dataclass
class SlowReaders:
    """Subscribe to what the pairs send, and read nothing."""

    place: Place
    held: int = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            client = self.place.connect(f"slow-{self.held}", clean=True)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(*BROKEN):
                client.subscribe("#")
            self.held += 1
            stop.wait(5)
            cut(client, reset=True)
            client.drop()


@dataclass
class Weather:
    """The machine's own: the store's process stands still for a moment, the server's certificate is replaced."""

    secured: Secured
    chance: random.Random
    stalls: int = 0
    renewals: int = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self.chance.uniform(2, 5)):
            for child in self.secured.broker.worker.children():
                self.stalls += 1
                os.kill(child.pid, signal.SIGSTOP)
                time.sleep(self.chance.uniform(0.1, 0.6))
                os.kill(child.pid, signal.SIGCONT)
            self.secured.certificates.issue_server()
            self.renewals += 1


@dataclass
class Pollers:
    """Monitoring tools and scripts: reads everything, changes a setting, publishes numbers."""

    secured: Secured
    topic: str
    requests: int = 0
    sent: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        paths = ("/nodes/", "/brokers/", "/listeners/", "/metrics/", "/stats/", "/connections/?_limit=20",
                 "/sessions/?_limit=20", "/subscriptions/?_limit=20", "/routes/", "/banned/", "/configs/",
                 "/alarms/present")
        received = -1
        while not stop.wait(0.05):
            try:
                path = paths[self.requests % len(paths)]
                self.requests += 1
                answer = self.secured.broker.api("GET", path)
                assert answer.status_code == 200, f"{path}: {answer.status_code}"
                if path == "/metrics/":
                    (node,) = answer.json()
                    assert node["metrics"]["packets/received"] >= received, "a counter went back"
                    received = node["metrics"]["packets/received"]
                self.publish()
            except Exception as error:
                self.wrong.append(repr(error))

    def publish(self) -> None:
        answer = self.secured.broker.api("POST", "/mqtt/publish", json={
            "topic": self.topic, "payload": str(self.sent + 1), "qos": 1, "retain": False, "client_id": "poller"})
        assert answer.status_code == 200, answer.text
        self.sent += 1


@dataclass
class Memory:
    """Resident bytes of the worker and of the store's process, each half second."""

    secured: Secured
    samples: list[tuple[int, int]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.5):
            worker = self.secured.broker.worker
            with contextlib.suppress(psutil.Error):
                store = sum(child.memory_info().rss for child in worker.children())
                self.samples.append((worker.memory_info().rss, store))

    def about(self, place: float) -> tuple[int, int]:
        """The medians around a place between 0 and 1."""
        width = max(len(self.samples) // 10, 1)
        start = min(int(place * len(self.samples)), len(self.samples) - width)
        worker, store = zip(*self.samples[start : start + width], strict=True)
        return sorted(worker)[width // 2], sorted(store)[width // 2]

