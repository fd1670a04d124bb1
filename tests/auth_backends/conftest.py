"""Servers of users and rules, each started once for all tests of a process."""

from __future__ import annotations

import hashlib
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.plugins.lookup.auth import LOCAL
from tests.backends.http_users import HttpUsers
from tests.backends.ldap import OpenLdap
from tests.backends.mariadb import MariaDb
from tests.backends.postgres import Postgres
from tests.backends.redis import RedisServer
from tests.backends.secantus import Secantus
from tests.backends.server import Server

BACKENDS: dict[str, type[Server]] = {"mysql": MariaDb, "pgsql": Postgres, "redis": RedisServer, "mongo": Secantus,
                                     "ldap": OpenLdap, "http": HttpUsers}


def connack(port: int, username: str | None, password: str | bytes | None, client_id: str = "c",
            patience: float = 30) -> int:
    """The reason code of CONNACK to an MQTT 5 client that leaves at once. It waits for `patience` seconds."""
    flags, payload = 0x02, field(client_id)
    if username is not None:
        flags, payload = flags | 0x80, payload + field(username)
    if password is not None:
        flags, payload = flags | 0x40, payload + field(password)
    body = field("MQTT") + bytes((5, flags, 0, 60, 0)) + payload
    length, left = b"", len(body)
    while left > 127:
        length, left = length + bytes((left & 127 | 128,)), left >> 7
    with socket.create_connection(("127.0.0.1", port), patience) as sock:
        sock.sendall(b"\x10" + length + bytes((left,)) + body)
        answer = b""
        while len(answer) < 4:
            answer += sock.recv(4 - len(answer)) or pytest.fail("the connection was closed without CONNACK")
        assert answer[0] == 0x20
        if answer[3] == 0:
            sock.sendall(b"\xe0\0")
        return answer[3]


def field(value: str | bytes) -> bytes:
    octets = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(octets)) + octets


def sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


@contextmanager
def place_for_servers() -> Iterator[Path]:
    """A server may run as another user, to whom the directories that pytest makes are closed."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """Gives the running server of a kind, with tables that have no rows at first."""
    with place_for_servers() as place:
        yield from servers_in(place)


def servers_in(place: Path) -> Iterator[Callable[[str], Server]]:
    started: dict[str, Server] = {}

    def server(kind: str) -> Server:
        if kind not in started:
            started[kind] = one = BACKENDS[kind](place / kind)
            one.start()
            one.set_up()
        if started[kind].process is None:
            started[kind].start()
        return started[kind]

    yield server
    for one in started.values():
        one.kill()


def client_named(username: str | None, client_id: str = "c", password: bytes | None = None) -> Client:
    """As an authentication handler is asked about it."""
    return Client(client_id, username, LOCAL, "external", password=password)
