"""Brokers for the tests: one that a file's tests share, and a factory for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.raw import Raw


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """The default broker, running for all tests of a file, so that what one file leaves is no other's concern; its log
    must not show a traceback."""
    process = BrokerProcess(tmp_path_factory.mktemp("broker")).start()
    yield process
    code = process.stop()
    assert code == 0
    assert "Traceback" not in process.stderr, process.stderr


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., BrokerProcess]]:
    """`start_broker(env={...})`: a broker for this test alone. `ready=False` does not wait for it to serve."""
    started: list[BrokerProcess] = []

    def start(env: dict[str, str] | None = None, *, ready: bool = True, **kw: object) -> BrokerProcess:
        place = tmp_path / f"broker{len(started)}"
        place.mkdir()
        process = BrokerProcess(place, env, **kw)  # type: ignore[arg-type]
        started.append(process)
        return process.start() if ready else process.launch()

    yield start
    for process in started:
        process.kill9()


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """Clients end with the test that opened them."""
    yield
    while Raw.opened:
        Raw.opened.pop().drop()
