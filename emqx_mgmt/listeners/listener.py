"""One listener."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from emqx_mgmt.listeners.descriptors import ConnectionBudget, connection_budget
from emqx_mgmt.settings import AccessRule, Endpoint


def peer_of(address: bytes) -> IPv4Address | IPv6Address:
    """The address in a `struct sockaddr`; IPv4 inside IPv6 as IPv4."""
    if int.from_bytes(address[:2], sys.byteorder) == socket.AF_INET:
        return IPv4Address(address[4:8])
    inside = IPv6Address(address[8:24])
    return inside.ipv4_mapped or inside


@dataclass(slots=True, eq=False)
class Listener:
    """A row of `GET /listeners/` with the socket behind it.

    `protocol` is "mqtt:tcp", "http:management" and so on; `name` tells listeners of one protocol apart.
    `shutdown_count` has the reasons for which connections ended, and stays empty for HTTP (behaviour, section 14).
    """

    protocol: str
    name: str
    endpoint: Endpoint
    acceptors: int
    max_conns: int
    backlog: int
    zone: str = ""
    max_conn_rate: int = 0
    access: list[AccessRule] = field(default_factory=list)
    sock: socket.socket | None = None
    current_conns: int = 0
    shutdown_count: dict[str, int] = field(default_factory=dict)
    budget: ConnectionBudget = field(default_factory=connection_budget)

    @property
    def listen_on(self) -> str:
        return self.endpoint.listen_on

    @property
    def identity(self) -> str:
        """What stays the same over a restart that hands the sockets on."""
        return f"{self.protocol}/{self.name}/{self.listen_on}"

    @property
    def is_mqtt(self) -> bool:
        return self.protocol.startswith("mqtt:")

    def admit(self, address: bytes) -> bool:
        """Called for each connection accepted, with the peer's socket address: False closes it at once."""
        if self.access and not self.allows(peer_of(address)):
            self.shutdown_count["access_denied"] = self.shutdown_count.get("access_denied", 0) + 1
            return False
        if self.current_conns >= self.max_conns or self.budget.taken >= self.budget.limit:
            self.shutdown_count["max_connections"] = self.shutdown_count.get("max_connections", 0) + 1
            return False
        self.current_conns += 1
        self.budget.taken += 1
        return True

    def allows(self, peer: IPv4Address | IPv6Address) -> bool:
        """By the first rule that fits (`listener.….access.N`)."""
        return next((rule.allow for rule in self.access if rule.network is None or peer in rule.network), True)

    def closed(self, reason: str) -> None:
        """Called for each admitted connection that ended; a normal end is not counted."""
        self.current_conns -= 1
        self.budget.taken -= 1
        if reason != "normal":
            self.shutdown_count[reason] = self.shutdown_count.get(reason, 0) + 1

    def __str__(self) -> str:
        name = f"{self.protocol} {self.name}" if self.is_mqtt else self.protocol
        return f"{name} on {self.listen_on}"
