"""Thousands of clients in one thread, each a socket and a little state."""

from __future__ import annotations

import contextlib
import itertools
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.clients.raw import connect_packet

SOURCES = 20        # addresses that connections come from: one has some 28,000 ports, and ended connections keep theirs
BIND_ADDRESS_NO_PORT = 24   # IP_BIND_ADDRESS_NO_PORT: the port is chosen once the destination is known
CONNACK, PUBLISH = 0x20, 0x30
WITHIN = 90.0       # seconds


def descriptors() -> int:
    """How many this process may have, once the soft limit is raised to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass(slots=True, eq=False)
class Member:
    client_id: str
    sock: socket.socket
    greeting: bytes
    code: int | None = None     # of CONNACK
    present: bool = False       # the session was there
    messages: int = 0
    ended: bool = False
    inbox: bytearray = field(default_factory=bytearray)

    def read(self) -> None:
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.ended = not data
        self.inbox += data
        for packet in self.packets():
            if packet[0] == CONNACK:
                self.present, self.code = packet[2] == 1, packet[3]
            elif packet[0] & 0xF0 == PUBLISH:
                self.messages += 1

    def packets(self) -> Iterator[bytes]:
        """Whole ones; all that are sent here are shorter than 128 bytes."""
        while len(self.inbox) > 1 and len(self.inbox) >= 2 + self.inbox[1]:
            end = 2 + self.inbox[1]
            yield bytes(self.inbox[:end])
            del self.inbox[:end]


class Crowd:
    """`join` opens connections, as fast as the broker takes them; `until` reads until something is true."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.members: list[Member] = []
        self.selector = selectors.EpollSelector()
        self.sources = itertools.cycle(f"127.0.0.{n}" for n in range(1, SOURCES + 1))

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        self.selector.close()

    def join(self, client_ids: Iterable[str], *, clean: bool = True, then: bytes = b"") -> None:
        """Connects all of them at once; each sends `then` behind its CONNECT."""
        for client_id in client_ids:
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
            sock.bind((next(self.sources), 0))
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", self.port))
            member = Member(client_id, sock, connect_packet(client_id, clean=clean) + then)
            self.members.append(member)
            self.selector.register(sock, selectors.EVENT_WRITE, member)

    def say(self, data: bytes) -> None:
        for member in self.members:
            member.sock.send(data)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not condition():
            assert time.monotonic() < deadline, what
            self.serve()

    def serve(self) -> None:
        """Whoever can do something now, or soon."""
        for key, events in self.selector.select(0.1):
            member: Member = key.data
            if events & selectors.EVENT_WRITE:
                member.sock.send(member.greeting)
                self.selector.modify(member.sock, selectors.EVENT_READ, member)
            else:
                member.read()
                if member.ended:
                    self.selector.unregister(member.sock)

    def connected(self) -> bool:
        return all(member.code == 0 for member in self.members)

    def ended(self) -> list[str]:
        return [member.client_id for member in self.members if member.ended]

    def leave(self) -> None:
        """All connections break at once."""
        for member in self.members:
            member.sock.close()
        self.selector.close()
        self.selector = selectors.EpollSelector()
        self.members.clear()
