"""What systemd is told, by a socket of its own (sd_notify(3)), and the unit that asks for it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.broker_process import BrokerProcess, has_ended, wait_until
from tests.cli.command import done, refused, run

CONNECT, CONNACK = bytes.fromhex("100c 0004 4d515454 04 02 0000 0000"), b"\x20\2\0\0"


class Manager:
    """systemd's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(0.2)

    def wait_for(self, line: str, within: float = 30.0) -> list[str]:
        """The datagram that begins with this line, which others may precede."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            try:
                lines = self.sock.recv(4096).decode().split("\n")
            except TimeoutError:
                continue
            if lines[0].startswith(line):
                return lines
        raise AssertionError(f"{line} was not told")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "notify")
    yield manager
    manager.sock.close()


def environment(tmp_path: Path) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000",
            "EMQX_CONFIG": str(tmp_path / "emqx.conf")}


def is_served(broker: BrokerProcess) -> bool:
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=2) as sock:
        sock.sendall(CONNECT)
        return sock.recv(4) == CONNACK


def test_the_life_of_a_service(start_broker, tmp_path: Path, manager: Manager) -> None:
    file = tmp_path / "emqx.conf"
    file.write_text("")
    broker = start_broker(environment(tmp_path), ready=False)
    ready = manager.wait_for("READY=1")     # the first one: gunicorn would send its own before there is a worker
    assert ready[1].startswith("STATUS=The node emqx@127.0.0.1 serves")
    for process in broker.worker.children():
        assert "NOTIFY_SOCKET" not in process.environ()
    assert broker.status().ok
    assert is_served(broker)
    assert "Ready: the node emqx@127.0.0.1 serves clients" in broker.stderr
    manager.wait_for("WATCHDOG=1", 3)

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    worker = broker.worker
    assert done(broker, "reload") == "The settings were read again, and a new worker serves clients.\n"
    assert has_ended(worker)
    assert is_served(broker)
    (said,) = manager.wait_for("RELOADING=1")[1:]
    assert before <= int(said.removeprefix("MONOTONIC_USEC=")) <= before + 60_000_000
    manager.wait_for("READY=1")

    file.write_text("nonsense = 1\nmqtt.max_packet_size = big\n")
    worker = broker.worker
    ended = run(broker, "reload")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (78, 2)
    manager.wait_for("RELOADING=1")
    assert "could not be read again" in manager.wait_for("READY=1")[1]
    assert broker.worker == worker
    file.write_text("")

    master = psutil.Process(broker.running.pid)
    broker.signal(signal.SIGUSR2)
    (told,) = manager.wait_for("MAINPID=")
    successor = psutil.Process(int(told.removeprefix("MAINPID=")))
    assert successor in master.children()
    successor.kill()    # as soon as it has reported itself: whoever goes on has to report that
    assert manager.wait_for("MAINPID=") == [f"MAINPID={master.pid}"]
    wait_until(lambda: has_ended(successor), 20)

    broker.signal(signal.SIGUSR2)
    successor = psutil.Process(int(manager.wait_for("MAINPID=")[0].removeprefix("MAINPID=")))
    broker.signal(signal.SIGTERM)
    assert manager.wait_for("READY=1")
    assert broker.wait() == 0
    assert is_served(broker)
    successor.terminate()
    assert manager.wait_for("STOPPING=1")
    wait_until(lambda: has_ended(successor), 20)


def test_a_reload_needs_a_broker(tmp_path: Path) -> None:
    idle = BrokerProcess(tmp_path)
    assert refused(idle, "reload", code=69) == f"No broker runs with the data directory {idle.data_dir}"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is in Debian's package systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "emqx-mgmt.service"
    unit.write_text(done(BrokerProcess(tmp_path), "systemd-unit", "--command", shutil.which("true") or "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                             timeout=60, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
