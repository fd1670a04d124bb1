"""The client's socket address, from the header of the PROXY protocol (versions 1 and 2) or from the HTTP request that
opens a WebSocket."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable

from emqx_mgmt.listeners.forwarded import Headers, Proxies, source_of
from emqx_mgmt.listeners.guard import host

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LONGEST_V1 = 107
LONGEST_V2 = 16 + 4096
LOCAL, PROXY = 0x20, 0x21
TCP4, TCP6 = 0x11, 0x21


def read_header(data: bytes) -> int | bytes | None:
    """From the first bytes of a connection: how many more are needed at least; or the client's socket address; or None
    where the proxy connects for itself. Raises ValueError for anything else."""
    if data.startswith(SIGNATURE):
        return read_v2(data)
    if len(data) < len(SIGNATURE) and SIGNATURE.startswith(data):
        return len(SIGNATURE) - len(data)
    return read_v1(data)


def read_v1(data: bytes) -> int | bytes | None:
    """`PROXY TCP4 <from> <to> <port> <port>` and an end of line, which is looked for byte by byte."""
    if not b"PROXY ".startswith(data[:6]) or len(data) > LONGEST_V1:
        raise ValueError("no PROXY header")
    if not data.endswith(b"\r\n"):
        return 1
    words = data[:-2].decode("ascii").split(" ")
    if words[1] == "UNKNOWN":
        return None
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6") or not all(port.isdecimal() for port in words[4:]):
        raise ValueError("bad PROXY header")
    client, proxy = map(ipaddress.ip_address, words[2:4])
    if not client.version == proxy.version == int(words[1][3:]):
        raise ValueError("addresses of another family in a PROXY header")
    return socket_address(client, int(words[4]))


def read_v2(data: bytes) -> int | bytes | None:
    """The source's socket address; None where the header names none; while `data` is too short, how many bytes are
    missing. Raises ValueError."""
    if len(data) < 16:
        return 16 - len(data)
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (LOCAL, PROXY) or 16 + length > LONGEST_V2:
        raise ValueError("bad PROXY header")
    if len(data) < 16 + length:
        return 16 + length - len(data)
    if command == LOCAL or family not in (TCP4, TCP6):
        return None
    size = 4 if family == TCP4 else 16
    if length < 2 * size + 4:
        raise ValueError("short PROXY header")
    (port,) = struct.unpack_from("!H", data, 16 + 2 * size)
    return socket_address(ipaddress.ip_address(data[16 : 16 + size]), port)


def socket_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bytes:
    """As struct sockaddr_in or sockaddr_in6."""
    if not 0 <= port <= 65535:
        raise ValueError("bad port")
    if ip.version == 4:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + ip.packed + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + struct.pack("!H", port) + bytes(4) + ip.packed + bytes(4)


def socket_source(proxies: Proxies) -> Callable[[Headers, bytes], tuple[bytes, bool]]:
    """For WebSocketLimits: the client's socket address, and whether the client is not on this machine."""

    def of(headers: Headers, peer: bytes) -> tuple[bytes, bool]:
        (port,) = struct.unpack_from("!H", peer, 2)  # in both kinds of address
        source = source_of(ipaddress.ip_address(host(peer)), port, headers, proxies)
        return (socket_address(source.address, source.port) if source.believed else peer), not source.local

    return of
