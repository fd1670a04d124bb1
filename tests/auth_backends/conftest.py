"""Servers of users and rules, each started once for all tests of a process."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.plugins.lookup.plugin import LOCAL
from tests.backends.mariadb import MariaDb
from tests.backends.postgres import Postgres
from tests.backends.redis import RedisServer
from tests.backends.server import Server

DATABASES: dict[str, type[Server]] = {"mysql": MariaDb, "pgsql": Postgres, "redis": RedisServer}


def sha256(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """Gives the running server of a kind, with tables that have no rows at first.

    A server may run as another user, to whom the directories that pytest makes are closed."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    started: dict[str, Server] = {}

    def server(kind: str) -> Server:
        if kind not in started:
            (place / kind).mkdir()
            started[kind] = one = DATABASES[kind](place / kind)
            one.start()
            one.set_up()
        if started[kind].process is None:
            started[kind].start()
        return started[kind]

    yield server
    for one in started.values():
        one.kill()
    shutil.rmtree(place)


def client_named(username: str | None, client_id: str = "c", password: bytes | None = None) -> Client:
    """As an authentication handler is asked about it."""
    return Client(client_id, username, LOCAL, "external", password=password)
