"""The last step of a CONNECT: it is answered, or nothing of it stays behind."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.raw import CONNACK, PUBLISH
from tests.harness import Bench

PREFIX = len("answers/")


def left_behind(bench: Bench) -> tuple[int, ...]:
    """Channels, sessions, what counts them, and what still waits for a time."""
    broker = bench.broker
    return (len(bench.engine.channels), len(broker.sessions), broker.online, broker.session_manager.persistent,
            broker.stats.rows()["connections/count"], broker.stats.rows()["sessions/count"])


@pytest.mark.parametrize(("spare", "there"), [(0, True), (-1, False)])
def test_response_information_is_left_out_where_it_is_too_long(spare: int, there: bool):
    """Section 3.1.2.11.6: the server may send none. A UTF-8 string has at most 65,535 bytes (section 1.5.4)."""
    bench = Bench()
    client_id = "c" * (65535 - PREFIX - spare)
    client = bench.client(client_id, request_response=1)
    assert ("response_information" in client.connack.props) is there
    bench.gone(client)
    assert left_behind(bench) == (0,) * 6


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("step", ["durable.opened", "session_manager.open", "connect_handler._properties"])
def test_nothing_stays_behind_of_a_connect_that_fails(monkeypatch: pytest.MonkeyPatch, step: str, clean: bool,
                                                      version: int):
    """An exception in the last step is the broker's fault: the client is told, and may try again."""
    if step == "connect_handler._properties" and version != 5:
        pytest.skip("CONNACK has properties in MQTT 5 only")
    bench = Bench()
    watcher = bench.client("watcher")
    watcher.subscribe("will")
    before = left_behind(bench)
    fail(monkeypatch, bench.broker, step)
    options = {"session_expiry": 100} if version == 5 and not clean else {}
    client = bench.open(version)
    client.send(client.connect_packet("new", clean=clean, will=("will", b"", 0, False), **options))
    assert client.packet().code == (0x80 if version == 5 else 3)
    client.closed()
    monkeypatch.undo()
    assert left_behind(bench) == before
    assert not bench.client("new", version, clean=False, **options).connack.present
    watcher.silent()


def test_a_session_outlives_a_connect_that_fails(monkeypatch: pytest.MonkeyPatch):
    """It is there for the next one, and ends when its time is up."""
    bench = Bench()
    keeper = bench.client("keeper", clean=False, session_expiry=100)
    keeper.subscribe("t", qos=1)
    bench.gone(keeper)
    fail(monkeypatch, bench.broker, "durable.opened")
    client = bench.open()
    client.send(client.connect_packet("keeper", clean=False, session_expiry=100))
    assert client.expect(CONNACK).code == 0x80
    client.closed()
    monkeypatch.undo()
    bench.broker.publish("t", b"kept", 1)
    keeper = bench.client("keeper", clean=False, session_expiry=100)
    assert keeper.connack.present
    assert keeper.expect(PUBLISH).payload == b"kept"
    bench.gone(keeper)
    bench.later(101)
    assert left_behind(bench) == (0,) * 6


def fail(monkeypatch: pytest.MonkeyPatch, broker: Any, step: str) -> None:
    *path, name = step.split(".")
    for one in path:
        broker = getattr(broker, one)

    def failing(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(broker, name, failing)
