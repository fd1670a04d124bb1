"""Connections to the shared broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.codec import Client
from tests.harness import Bench


@pytest.fixture(autouse=True)
def benches() -> Iterator[None]:
    """Those that a test makes end with it."""
    yield
    Bench.close_all()


@pytest.fixture
def dial(broker: BrokerProcess) -> Iterator[Callable[..., Client]]:
    """`dial(version)`: a connection, not yet a CONNECT; closed after the test."""
    opened: list[Client] = []

    def dial(version: int = 5, port: int = broker.mqtt_port) -> Client:
        opened.append(Client(port, version))
        return opened[-1]

    yield dial
    for client in opened:
        client.sock.close()
