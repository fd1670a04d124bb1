"""Addresses of a back-end: `host:port`, or several of them. A port alone is on this machine, as in EMQ X."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from emqx_mgmt.settings.kinds import Kind

Connection = TypeVar("Connection")
_SERVER = re.compile(r"(?:(?P<local>\d{1,5})|(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+))(?::(?P<port>\d{1,5}))?)")


@dataclass(frozen=True, slots=True)
class Server:
    """`port` 0 means the back-end's usual port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def parse_servers(text: str) -> tuple[Server, ...]:
    """Raises ValueError with the end of a sentence."""
    servers = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        found = _SERVER.fullmatch(word)
        port = int(found["local"] or found["port"] or 0) if found else 0
        if found is None or port > 65535:
            raise ValueError(f"has {word!r}, where host or host:port is expected")
        servers.append(Server("127.0.0.1" if found["local"] else found["v6"] or found["host"], port))
    if not servers:
        raise ValueError("must name a host, or host:port")
    return tuple(servers)


SERVERS = Kind("string", parse_servers, lambda servers: ",".join(map(str, servers)))


def first_reachable(servers: tuple[Server, ...], connect: Callable[[Server], Connection],
                    errors: tuple[type[Exception], ...]) -> Connection:
    """A connection to the first server that accepts one. Raises the last server's error where none does."""
    for server in servers[:-1]:
        try:
            return connect(server)
        except errors:
            continue
    return connect(servers[-1])
