"""More clients than a slow back-end has answers for: those that have hung up are not asked about, so that the queue
gets to those that are there."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.auth_backends.conftest import connack
from tests.broker_process import CHECKOUT, wait_until
from tests.listeners.secured import Secured, certificates, settings
from tests.listeners.transports import TRANSPORTS, connection
from tests.plugins.conftest import load


def test_who_has_hung_up_is_not_asked_about_over_any_transport(start_with_plugins, tmp_path: Path):
    """A peek at the socket of TLS or WebSocket finds a last record or frame in front of the end."""
    made = certificates(tmp_path)
    env, ports = settings(made)
    gate = tmp_path / "gate"
    # A machine that stands still for seconds makes nobody wait too long here.
    broker = start_with_plugins(env | {"EMQX_PLUGINS__CONCURRENT_DECISIONS": "1", "EMQX_SLOW__LATE": str(gate),
                                       "EMQX_PLUGINS__HOOK_DEADLINE": "90s", "EMQX_PLUGINS__DECISION_PATIENCE": "90s",
                                       "EMQX_PLUGINS__PROCESSOR_LIMIT": "20s"})
    load(broker, "slow_guard")
    secured = Secured(broker, made, **ports)
    pool = ThreadPoolExecutor(2)

    def enter(username: str) -> int:
        """`late` waits for as long as the others take to come and go."""
        return connack(broker.mqtt_port, username, "x", username, patience=90)

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
    assert (late.result(90), last.result(90)) == (0, 0), broker.stderr[-3000:]
    assert "asked about last" in broker.stderr
    assert "asked about gone" not in broker.stderr


def test_a_storm_ends():
    """600 clients that wait for a third of a second each; a back-end that needs three quarters of one for them. With
    those that have hung up asked about, 240 get in and the others never."""
    done = subprocess.run([sys.executable, "benchmarks/bench_storm.py", "600", "0.3"], cwd=CHECKOUT, text=True,
                          capture_output=True, timeout=150, check=False)
    told = re.match(r"600 of 600 clients are in after \S+ s, (\S+) look-ups", done.stdout)
    assert told, done.stdout + done.stderr
    assert float(told[1]) < 2  # 1.3 for each on a machine that is idle
