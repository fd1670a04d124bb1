"""Clients end with the test that made them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.durable.client import Client


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    yield
    while Client.opened:
        Client.opened.pop().close()
