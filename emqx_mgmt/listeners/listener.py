"""A listener, with its counters."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from emqx_mgmt.listeners.descriptors import ConnectionBudget, connection_budget
from emqx_mgmt.listeners.guard import Guard
from emqx_mgmt.listeners.peer import identify
from emqx_mgmt.listeners.proxy import socket_address
from emqx_mgmt.listeners.tls import TlsOptions
from emqx_mgmt.settings import Endpoint
from router_ext.net.websocket import WebSocketLimits

if TYPE_CHECKING:
    from router_ext.engine.channel import Channel

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Listener:
    """A row of `GET /listeners/` with the socket behind it.

    `protocol` is "mqtt:tcp", "http:management" and so on; `name` tells listeners of one protocol apart.
    `shutdown_count` has the reasons for which connections ended; of HTTP, those that ran into a limit.
    `handshake_timeout` is in ms; `max_conn_rate` in connections a second, 0 for no limit. `shortages` counts how often
    descriptors ran out.
    """

    protocol: str
    name: str
    endpoint: Endpoint
    acceptors: int
    max_conns: int
    backlog: int
    zone: str = ""
    max_conn_rate: int = 0
    sock: socket.socket | None = None
    current_conns: int = 0
    shutdown_count: dict[str, int] = field(default_factory=dict)
    budget: ConnectionBudget = field(default_factory=connection_budget)
    guard: Guard = field(default_factory=Guard)
    handshake_timeout: int = 15000
    tls: TlsOptions | None = None
    websocket: WebSocketLimits | None = None
    shortages: int = 0

    @property
    def listen_on(self) -> str:
        """Port, or address and port, as the setting has it."""
        return self.endpoint.listen_on

    @property
    def port(self) -> int:
        return self.endpoint.port

    @property
    def identity(self) -> str:
        """The key of a listener, the same after a restart that passes the sockets on."""
        return f"{self.protocol}/{self.name}/{self.listen_on}"

    @property
    def identifier(self) -> str:
        """The name for operators: `mqtt:tcp:external`, `http:management`."""
        return f"{self.protocol}:{self.name}" if self.is_mqtt else self.protocol

    @property
    def is_mqtt(self) -> bool:
        """Whether it speaks MQTT, over whatever transport."""
        return self.protocol.startswith("mqtt:")

    @property
    def is_https(self) -> bool:
        """Whether it serves the API over TLS."""
        return self.protocol.startswith("https:")

    @contextlib.contextmanager
    def place(self, address: tuple[Any, ...]) -> Iterator[bool]:
        """A context around an HTTP connection from `address` (host, port, ...): False where it is refused."""
        packed = socket_address(ipaddress.ip_address(address[0]), address[1])
        admitted = self.admit(packed)
        try:
            yield admitted
        finally:
            if admitted:
                self.closed("normal", packed)

    def admit(self, address: bytes) -> bool:
        """Whether a connection that was accepted may stay."""
        refusal = None if self.guard.idle else self.guard.refusal(address)
        if self.current_conns >= self.max_conns or self.budget.taken >= self.budget.limit:
            refusal = "max_connections"
        if refusal is not None:
            self.count(refusal)
            return False
        self.current_conns += 1
        self.budget.taken += 1
        self.guard.opened(address)
        return True

    def identify(self, channel: Channel) -> str | None:
        """The user name from the client's certificate; None where the listener does not take it from there."""
        return identify(channel, self.tls.peer_cert_as_username) if self.tls is not None and self.tls.verify else None

    def closed(self, reason: str, address: bytes) -> None:
        """An admitted connection has ended. A normal end is not counted."""
        self.current_conns -= 1
        self.budget.taken -= 1
        self.guard.closed(address)
        if reason != "normal":
            self.count(reason)

    def exhausted(self) -> None:
        """No descriptor was left for a connection: accepting pauses."""
        self.shortages += 1
        self.count("emfile")

    def hurried(self) -> None:
        """More connections arrive than `max_conn_rate` allows: accepting pauses."""
        self.count("max_conn_rate")

    def count(self, reason: str) -> None:
        """Counts an ended or refused connection in `shutdown_count`."""
        self.shutdown_count[reason] = self.shutdown_count.get(reason, 0) + 1
        log.debug("A connection at %s is counted: %s", self, reason)

    def __str__(self) -> str:
        name = f"{self.protocol} {self.name}" if self.is_mqtt else self.protocol
        return f"{name} on {self.listen_on}"
