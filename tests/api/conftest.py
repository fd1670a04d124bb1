"""Clients that leave nothing behind for the next test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.api.calls import count
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client


@pytest.fixture
def connect(broker: BrokerProcess) -> Iterator[Callable[..., Client]]:
    """`connect(client_id, ...)`: a client that is gone, session and all, when the test ends."""
    with ExitStack() as clients:

        def open_client(client_id: str, **options: Any) -> Client:
            client = Client(broker.mqtt_port, client_id, **options)
            clients.callback(client.close)
            return client

        yield open_client
    wait_until(lambda: count(broker, "connections") == 0, what="the end of all connections")
