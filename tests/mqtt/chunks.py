"""What becomes of a client's bytes when they come in one piece, or cut anywhere."""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from router_ext.engine.channel import Channel
from router_ext.net.transport import Transport
from router_ext.net.websocket import WebSocketLimits, WebSocketTransport
from tests.clients.raw import Raw
from tests.harness import ADDRESS, Bench

MADE_UP = re.compile(rb"auto-[0-9a-f]{24}")     # client ids that the broker draws by lot
BY_READING = ("bytes/received",)                # more or less of what comes behind a violation is still read


@dataclass
class Outcome:
    """All that can be seen from outside: `answers` to the client, `heard` by a subscriber to everything, `shared` by
    the member of a group (a client that is both may get either copy first)."""

    answers: bytes = b""
    heard: bytes = b""
    shared: bytes = b""
    ended: list[str] = field(default_factory=list)
    metrics: dict[str, int] = field(default_factory=dict)


class End:
    """The client's end of a connection, which always reads."""

    def __init__(self, bench: Bench, web: bool = False) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.setblocking(False)
        theirs.setblocking(False)
        self.bench = bench
        self.got = bytearray()
        fd = theirs.detach()
        transport = WebSocketTransport(Transport(fd), WebSocketLimits()) if web else None
        Channel(bench.engine, bench.zone, fd, ADDRESS, bench.door, bench.reactor.fileno(), transport)

    def send(self, data: bytes) -> bool:
        """False when the broker has closed."""
        while data:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                pass
            except OSError:
                return False
            self.bench.turn()
            self.read()
        return True

    def read(self) -> None:
        try:
            while data := self.sock.recv(1 << 18):
                self.got += data
                self.bench.turn()
        except OSError:
            pass


def outcome(data: bytes, cuts: Iterable[int] = (), *, web: bool = False) -> Outcome:
    """`data` on a new connection to a new broker, cut at the places in `cuts`."""
    bench = Bench(strategy="round_robin", max_topic_alias=5)
    watchers = [bench.client("watcher", 4), bench.client("member", 4)]
    for watcher, topic_filter in zip(watchers, ("#", "$share/members/#"), strict=True):
        watcher.subscribe(topic_filter)
    client = End(bench, web)
    places = sorted({0, *cuts, len(data)})
    for begin, end in itertools.pairwise(places):
        if not client.send(data[begin:end]):
            break
    bench.turn()
    client.read()
    metrics = {name: count for name, count in bench.broker.metrics().items() if name not in BY_READING}
    answers = unframed(client.got) if web else client.got
    heard, shared = (nameless(everything(watcher, bench)) for watcher in watchers)
    found = Outcome(nameless(answers), heard, shared, list(bench.door.ended), metrics)
    client.sock.close()
    for watcher in watchers:
        watcher.drop()
    for channel in list(bench.engine.channels):
        channel.close("over")
    Bench.made.remove(bench)
    return found


def everything(watcher: Raw, bench: Bench) -> bytes:
    while watcher.read():
        bench.turn()
    return watcher.inbox


def nameless(data: bytes) -> bytes:
    return MADE_UP.sub(b"auto-", data)


def unframed(data: bytes) -> bytes:
    """What a WebSocket server sent: its answer, and the payloads of data frames together. How bytes are divided into
    frames is the server's choice, and so is whether a PING behind the end is still answered; but nothing may come
    behind CLOSE (RFC 6455, 5.5.1)."""
    answer, mark, rest = data.partition(b"\r\n\r\n")
    payloads, closed = [answer], False
    while mark and rest:
        assert not closed, "a frame behind CLOSE"
        head, length = (2, rest[1]) if rest[1] < 126 else (4, int.from_bytes(rest[2:4], "big"))
        closed = rest[0] == 0x88
        payloads.append(rest[head:head + length] if rest[0] == 0x82 else b"")
        rest = rest[head + length:]
    return b"".join(payloads)
