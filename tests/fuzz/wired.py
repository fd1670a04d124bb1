"""A broker and its reactor in this process, without an event loop: a client's bytes go in and the answers come out."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Sequence

from emqx_mgmt.broker import Broker
from router_ext.channel import Channel
from router_ext.reactor import Reactor
from router_ext.retained import RetainedStore
from router_ext.zone import Zone

ADDRESS = struct.pack("=HH4s8x", socket.AF_INET, 0, b"\x7f\0\0\1")
ZONE = {
    "idle_timeout": 15_000, "max_packet_size": 1 << 20, "max_clientid_len": 1024, "max_qos_allowed": 2,
    "max_topic_alias": 10, "retain_available": True, "wildcard_subscription": True, "shared_subscription": True,
    "enable_acl": True, "enable_ban": True, "allow_anonymous": True, "acl_nomatch_allow": True,
    "keepalive_backoff": 0.75, "max_inflight": 32, "max_awaiting_rel": 100, "await_rel_timeout": 300_000,
    "max_mqueue_len": 100, "mqueue_store_qos0": True, "retry_interval": 20_000, "session_expiry_interval": 7200,
}  # fmt: skip


class OwnMistake(AssertionError):
    """The broker failed where only the client may."""


class Listens:
    """What a channel asks of its listener."""

    acl_rules = None

    def closed(self, reason: str) -> None:
        if reason == "internal_error":
            raise OwnMistake(reason)


class Wired:
    def __init__(self) -> None:
        self.broker = Broker()
        self.broker.engine.retained = RetainedStore()
        self.reactor = Reactor(self.broker.engine)
        self.zone = Zone("external", **ZONE)
        self.now = 1000
        logging.disable(logging.WARNING)

    def exchange(self, pieces: Sequence[bytes]) -> bytes:
        """What a client gets that sends these pieces, each in a turn of its own; afterwards all is as it was before."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        Channel(self.broker.engine, self.zone, ours.detach(), ADDRESS, Listens(), self.reactor.fileno())
        answer = b""
        with theirs:
            for piece in pieces:
                with contextlib.suppress(BrokenPipeError):
                    theirs.sendall(piece)
                answer += self._settled(theirs)
        self._turns()
        for session in list(self.broker.sessions.values()):
            self.broker.sessions_life.end(session, "forgotten")
        self.broker.engine.retained.clear()
        self.broker.timers.__init__()  # type: ignore[misc]
        return answer

    def _turns(self) -> None:
        while self.reactor.turn(self.now):
            pass
        self.reactor.turn(self.now)

    def _settled(self, theirs: socket.socket) -> bytes:
        """Turns until nothing more comes."""
        got = b""
        while True:
            self._turns()
            try:
                data = theirs.recv(1 << 20)
            except BlockingIOError:
                return got
            except ConnectionResetError:
                return got
            if not data:
                return got
            got += data
