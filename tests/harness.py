"""A broker in this process, its clock in the hands of the test: what it takes hours to wait for is done at once."""

from __future__ import annotations

import socket
from typing import Any, ClassVar

import gevent

from emqx_mgmt.broker import Broker
from router_ext.engine.channel import Channel
from router_ext.engine.reactor import Reactor
from router_ext.engine.retained_delivery import sweep_retained
from router_ext.message.retained_store import RetainedStore
from router_ext.session.zone import Zone
from tests.clients.raw import Raw

ADDRESS = b"\x02\x00\x04\x00\x7f\x00\x00\x01" + bytes(8)  # 127.0.0.1:1024, as the system writes it


class Door:
    """The listener, as far as connections care: why they ended."""

    handshake_timeout = 0
    port = 1883

    def __init__(self) -> None:
        self.ended: list[str] = []

    def closed(self, reason: str, _address: bytes) -> None:
        self.ended.append(reason)

    def identify(self, _channel: Channel) -> None:
        """No certificate gives a user name."""


class Bench:
    """`Bench(max_inflight=3)`: keywords are the zone's settings; `strategy` is that of shared subscriptions."""

    made: ClassVar[list[Bench]] = []

    def __init__(self, *, strategy: str = "random", **zone: Any) -> None:
        self.broker = Broker(shared_strategy=strategy, response_topic_prefix="answers")
        self.engine = self.broker.engine
        self.engine.retained = RetainedStore()
        self.reactor = Reactor(self.engine)
        self.zone = Zone("test", **({"idle_timeout": 0} | zone))
        self.door = Door()
        self.now = 1_000_000
        self.broker.engine.now = self.now
        self.turn()
        self.made.append(self)

    @classmethod
    def close_all(cls) -> None:
        """Gives back the sockets of all that were made. Engine and broker know each other, so that only the garbage
        collector would: by then hundreds are open, and clients that wait with `select` need low numbers."""
        for bench in cls.made:
            for channel in list(bench.engine.channels):
                channel.close("over")
        cls.made.clear()

    def turn(self) -> None:
        """Works until nothing is left to do."""
        gevent.sleep(0)
        self.broker.engine.now = self.now
        while self.reactor.turn(self.now):
            pass

    def later(self, seconds: float) -> None:
        """Lets time pass, with the ticks that come with it."""
        end = self.now + int(seconds * 1000)
        step = max(100, int(seconds * 1000) // 50)
        while self.now < end:
            self.now = min(end, self.now + step)
            self.broker.tick(self.now, self.reactor.tick(self.now))
            sweep_retained(self.engine, 10_000)
            self.turn()

    def open(self, version: int = 5) -> Raw:
        """A connection that has sent nothing."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        Channel(self.engine, self.zone, theirs.detach(), ADDRESS, self.door, self.reactor.fileno())
        return Raw(ours, version, self.turn)

    def client(self, client_id: str = "", version: int = 5, **options: Any) -> Raw:
        return self.open(version).connect(client_id, **options)

    def gone(self, client: Raw) -> None:
        """The client's connection breaks, and the broker has noticed."""
        client.drop()
        self.turn()
