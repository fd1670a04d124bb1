"""More clients than a slow back-end has answers for: those that have hung up are not asked about, so that the queue
gets to those that are there."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.broker_process import wait_until
from tests.listeners.secured import Secured, certificates, settings
from tests.listeners.transports import TRANSPORTS, connection
from tests.plugins.conftest import load
from tests.plugins.mqtt import Client


def test_who_has_hung_up_is_not_asked_about_over_any_transport(start_with_plugins, tmp_path: Path):
    """A peek at the socket of TLS or WebSocket finds a last record or frame in front of the end."""
    made = certificates(tmp_path)
    env, ports = settings(made)
    gate = tmp_path / "gate"
    broker = start_with_plugins(env | {"EMQX_PLUGINS__CONCURRENT_DECISIONS": "1", "EMQX_SLOW__LATE": str(gate),
                                       "EMQX_PLUGINS__HOOK_DEADLINE": "30s"})
    load(broker, "slow_guard")
    secured = Secured(broker, made, **ports)
    pool = ThreadPoolExecutor(2)

    def enter(username: str) -> int | None:
        with Client(broker.mqtt_port, username=username, password="x") as client:
            return client.code

    def received() -> int:
        count: int = broker.api("GET", "metrics/").json()[0]["metrics"]["packets/connect"]
        return count

    late = pool.submit(enter, "late")
    wait_until(lambda: "asked about late" in broker.stderr)
    connects = received()
    for name in TRANSPORTS:
        for polite in (False, True):
            sock = connection(secured, name)
            client_id = f"gone-{name}-{'polite' if polite else 'abrupt'}".encode()
            sock.sendall(b"\x10" + bytes([12 + len(client_id)]) + b"\0\4MQTT\4\2\0\x3c\0" + bytes([len(client_id)])
                         + client_id)
            connects += 1
            wait_until(lambda count=connects: received() == count)
            if polite and name in ("ws", "wss"):
                sock.sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            if polite and name in ("ssl", "wss"):
                inner = sock if name == "ssl" else sock.sock
                inner.settimeout(0.05)
                with contextlib.suppress(OSError):  # close_notify is out, and is not answered
                    inner.unwrap()
            sock.close()
    last = pool.submit(enter, "last")
    gate.touch()
    assert (late.result(30), last.result(30)) == (0, 0)
    assert "asked about last" in broker.stderr
    assert "asked about gone" not in broker.stderr


def test_a_storm_ends(start_with_plugins, site: Path, monkeypatch: pytest.MonkeyPatch):
    """600 clients that wait for a third of a second each; a back-end that needs three quarters of one for them. With
    those that have hung up asked about, 240 get in and the others never."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    from bench_storm import PLUGIN, Storm, install

    install(site)
    broker = start_with_plugins({"EMQX_LOADED_PLUGINS": PLUGIN})
    storm = Storm(broker.mqtt_port, patience=0.3)
    storm.run(600, within=20)
    look_ups = broker.api("GET", "storm").json()
    storm.end()
    assert len(storm.arrivals) == 600
    assert look_ups < 2 * 600  # 1.3 for each on a machine that is idle
