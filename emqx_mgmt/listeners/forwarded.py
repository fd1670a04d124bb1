"""The client's address in an HTTP request that proxies forwarded, to the API or to a WebSocket.

A header counts only from a proxy that the settings name. Where a proxy that is not named has left traces, the client
has none of the rights of this machine.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from emqx_mgmt.listeners.guard import is_one_of
from emqx_mgmt.settings import Network
from emqx_mgmt.settings.addresses import Address, parse_address, plain_address

Headers = Mapping[str, str]  # by lower-case name, repeated ones joined by commas

# Headers that only proxies set; any that begins with PREFIX is another.
SET_BY_PROXIES = frozenset({
    "cf-connecting-ip", "client-ip", "forwarded", "true-client-ip", "via", "x-client-ip", "x-cluster-client-ip",
    "x-original-forwarded-for", "x-original-host", "x-real-ip",
})
PREFIX = "x-forwarded-"


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies that the settings name, and the headers in which they write the client's address and port; "" for
    none."""

    networks: Sequence[Network] = ()
    address_header: str = ""
    port_header: str = ""

    def include(self, address: Address) -> bool:
        """Whether the headers of a connection from that address are believed."""
        return bool(self.address_header) and is_one_of(address, self.networks)


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a request. `address` and `port` (0: unknown) are the client's, or those of the connection where no
    named proxy says otherwise. `believed`: a named proxy forwarded the request. `local`: the client is a program on
    this machine."""

    address: Address
    port: int
    believed: bool
    local: bool


def source_of(peer: Address, port: int, headers: Headers, proxies: Proxies) -> Source:
    """`peer` and `port` are the other end of the connection. A request from a named proxy is never local."""
    peer = plain_address(peer)
    if not proxies.include(peer):
        return Source(peer, port, believed=False, local=peer.is_loopback and not is_passed_on(headers, proxies))
    named = client_in(headers.get(proxies.address_header.lower(), ""), proxies)
    if named is None:
        return Source(peer, port, believed=True, local=False)
    given = headers.get(proxies.port_header.lower(), "") if proxies.port_header else ""
    return Source(named[0], port_in(given) or named[1], believed=True, local=False)


def is_passed_on(headers: Headers, proxies: Proxies) -> bool:
    """Whether a request over a loopback address shows traces of a proxy, or of a page of another host in a browser.
    Proxies that keep the Host name the site in it."""
    if any(name in SET_BY_PROXIES or name.startswith(PREFIX) for name in headers):
        return True
    if proxies.address_header.lower() in headers:
        return True
    page = headers.get("origin")
    return not is_loopback_host(headers.get("host", "")) or (page is not None and not is_loopback_page(page))


def client_in(value: str, proxies: Proxies) -> tuple[Address, int] | None:
    """The last address of the list that is no named proxy; anybody may have written those before it. None where that is
    no address."""
    entry = None
    for text in reversed(value.split(",")):
        entry = endpoint_in(text.strip())
        if entry is None or not proxies.include(entry[0]):
            break
    return entry


def endpoint_in(text: str) -> tuple[Address, int] | None:
    """`192.0.2.1`, `192.0.2.1:1234`, `2001:db8::1`, `[2001:db8::1]:1234`; the port is 0 where there is none."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        return parse_address(host), port_in(port)
    except ValueError:
        return None


def port_in(text: str) -> int:
    """The port; 0 where the text is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 and int(text) < 65536 else 0


def is_loopback_page(origin: str) -> bool:
    """Whether an Origin is a page of this machine."""
    try:
        return is_loopback_host(urlsplit(origin).netloc)
    except ValueError:
        return False


def is_loopback_host(authority: str) -> bool:
    """`localhost:8080`, `127.0.0.1`, `[::1]:18083`."""
    bracketed = authority.startswith("[")
    host = authority[1:].partition("]")[0] if bracketed else authority.partition(":")[0]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
