"""Admission of connections to a listener: rules by address, a limit for each address, and trusted proxies."""

from __future__ import annotations

import ipaddress
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from emqx_mgmt.settings import AccessRule, Network
from emqx_mgmt.settings.addresses import Address

MAPPED = bytes(10) + b"\xff\xff"


def host(address: bytes) -> bytes:
    """The host part of a socket address; IPv4 within IPv6 as four bytes."""
    if int.from_bytes(address[:2], "little") == socket.AF_INET:
        return address[4:8]
    return address[20:24] if address[8:20] == MAPPED else address[8:24]


def within(address: Address, network: Network) -> bool:
    """False where the two are of different IP versions."""
    return address.version == network.version and address in network


def is_one_of(address: Address, networks: Sequence[Network]) -> bool:
    """Whether any of the networks has the address."""
    return any(within(address, network) for network in networks)


@dataclass(slots=True)
class Guard:
    """`trusted` are the proxies that may connect with the PROXY protocol; no other peer may then. None: clients connect
    directly. `relays`: proxies that name the client in an HTTP header. The limit `per_address` does not apply to
    either."""

    rules: Sequence[AccessRule] = ()
    per_address: int = 0
    trusted: Sequence[Network] | None = None
    relays: Sequence[Network] = ()
    open: Counter[bytes] = field(default_factory=Counter)
    counts: bool = field(init=False)
    idle: bool = field(init=False)  # nothing has to be checked

    def __post_init__(self) -> None:
        self.counts = self.per_address > 0 and self.trusted is None
        self.idle = not self.rules and not self.counts and self.trusted is None

    def refusal(self, address: bytes) -> str | None:
        """The word by which the refusal is counted; None where the connection is accepted."""
        at = host(address)
        ip = ipaddress.ip_address(at)
        if self.trusted is not None:
            return None if is_one_of(ip, self.trusted) else "proxy_untrusted"
        if not self.allows(ip):
            return "access_denied"
        if self.counts and self.open[at] >= self.per_address and not is_one_of(ip, self.relays):
            return "max_connections_per_address"
        return None

    def allows(self, ip: Address) -> bool:
        """By the first rule that matches; where none does, the connection is accepted."""
        fitting = (rule.allow for rule in self.rules if rule.network is None or within(ip, rule.network))
        return next(fitting, True)

    def opened(self, address: bytes) -> None:
        """A connection from that socket address is open."""
        if self.counts:
            self.open[host(address)] += 1

    def closed(self, address: bytes) -> None:
        """A connection from that socket address is closed."""
        if self.counts:
            at = host(address)
            self.open[at] -= 1
            if not self.open[at]:
                del self.open[at]
