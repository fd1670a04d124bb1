"""IP addresses, each in one form: IPv4 within IPv6 (`::ffff:192.0.2.1`) is IPv4."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def plain_address(address: Address) -> Address:
    """The address itself, or the IPv4 address within it."""
    return getattr(address, "ipv4_mapped", None) or address


def parse_address(text: str) -> Address:
    """Raises ValueError where the text is no address."""
    return plain_address(ipaddress.ip_address(text))
