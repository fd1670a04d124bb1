"""Where a back-end is: `host:port`, or several of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from emqx_mgmt.settings.kinds import Kind

Connection = TypeVar("Connection")
_SERVER = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[\w.-]+))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Server:
    """`port` 0: the usual one of the back-end."""

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
        port = int(found["port"] or 0) if found else 0
        if found is None or port > 65535:
            raise ValueError(f"has {word!r}, where host or host:port is expected")
        servers.append(Server(found["v6"] or found["host"], port))
    if not servers:
        raise ValueError("must name a host, or host:port")
    return tuple(servers)


SERVERS = Kind("string", parse_servers, lambda servers: ",".join(map(str, servers)))


def first_reachable(servers: tuple[Server, ...], connect: Callable[[Server], Connection],
                    errors: tuple[type[Exception], ...]) -> Connection:
    """Connects to the first that takes a connection; raises the last one's error when none does."""
    for server in servers[:-1]:
        try:
            return connect(server)
        except errors:
            continue
    return connect(servers[-1])
