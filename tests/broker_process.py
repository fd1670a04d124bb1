"""The real server as a process of its own, for tests that look at it from outside."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import requests

CHECKOUT = Path(__file__).resolve().parent.parent
APP = ("tester", "tester-secret")
READY_WITHIN = 60.0
# Below those that the system gives to outgoing connections, one of which could take a port before the broker does, and
# not those of the other processes of this run, nor, most likely, of another run.
OWN = range(10_000 + int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{os.getpid() % 8}")[2:]), 32_768, 8)
PORTS = cycle(random.SystemRandom().sample(OWN, len(OWN)))


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different, and none that was given lately: who asked for it may not listen yet."""
    found: list[int] = []
    while len(found) < count:
        port = next(PORTS)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", port))
            found.append(port)
    return found


def wait_until(condition: Callable[[], Any], within: float = 15.0, what: str = "the condition") -> Any:
    """Polls until `condition` gives something true, and returns it."""
    deadline = time.monotonic() + within
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {within} s")
        time.sleep(0.02)


def group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def has_ended(process: psutil.Process) -> bool:
    """Also when nobody has taken its exit code yet: orphans wait for that until init has time."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class BrokerProcess:
    """A broker on free ports with a data directory of its own.

    `env` has settings as variables (`EMQX_...`), which win over the harness's own. `command` replaces the way it is
    started; `directory` is where.
    """

    def __init__(
        self,
        tmp_path: Path,
        env: dict[str, str] | None = None,
        command: list[str] | None = None,
        directory: Path = CHECKOUT,
    ) -> None:
        self.tmp_path = tmp_path
        self.directory = directory
        self.command = command or [str(Path(sys.executable).with_name("gunicorn")), "wsgi:app"]
        self.mqtt_port, self.internal_port, self.api_port, self.dash_port = free_ports(4)
        self.data_dir = tmp_path / "data"
        self.env = self.own_environment() | (env or {})
        self.log_path = tmp_path / "stderr.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self.http = requests.Session()

    def own_environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMQX_", "GUNICORN"))}
        return inherited | {
            "EMQX_NODE__DATA_DIR": str(self.data_dir),
            "EMQX_LISTENER__TCP__EXTERNAL": f"127.0.0.1:{self.mqtt_port}",
            "EMQX_LISTENER__TCP__INTERNAL": f"127.0.0.1:{self.internal_port}",
            "EMQX_LISTENER__SSL__EXTERNAL": "off",
            "EMQX_LISTENER__WS__EXTERNAL": "off",
            "EMQX_LISTENER__WSS__EXTERNAL": "off",
            "EMQX_MANAGEMENT__LISTENER__HTTP": f"127.0.0.1:{self.api_port}",
            "EMQX_DASHBOARD__LISTENER__HTTP": f"127.0.0.1:{self.dash_port}",
            "EMQX_MANAGEMENT__BOOTSTRAP_APP": ":".join(APP),
        }

    def launch(self) -> BrokerProcess:
        """Starts the process and does not wait."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.directory, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def start(self) -> BrokerProcess:
        """Starts the process and waits until it serves."""
        self.launch()
        try:
            wait_until(self.is_ready, READY_WITHIN, "the broker's readiness")
        except BaseException:
            self.kill9()
            raise
        return self

    def is_ready(self) -> bool:
        if self.running.poll() is not None:
            raise AssertionError(f"the broker ended with code {self.running.returncode}:\n{self.stderr}")
        try:
            return self.status().status_code == 200
        except (requests.ConnectionError, requests.Timeout):
            return False

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "the broker was not started"
        return self.process

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def status(self) -> requests.Response:
        """`GET /status` over a connection of its own, so that it is answered by the newest worker."""
        return requests.get(f"{self.base_url}/status", timeout=30, headers={"Connection": "close"})

    def api(self, method: str, path: str, *, auth: Any = APP, port: int | None = None, **kw: Any) -> requests.Response:
        """A request below /api/v3 with the test application's credentials; `auth=None` sends none."""
        url = f"http://127.0.0.1:{port or self.api_port}/api/v3/{path.removeprefix('/')}"
        kw.setdefault("timeout", 10)
        kw.setdefault("allow_redirects", False)
        return self.http.request(method, url, auth=auth, **kw)

    @property
    def stderr(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    @property
    def worker(self) -> psutil.Process:
        """The newest worker process."""
        return max(psutil.Process(self.running.pid).children(), key=lambda child: child.create_time())

    def rss(self) -> int:
        """The worker's resident memory in bytes."""
        return int(self.worker.memory_info().rss)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.running.pid, number)

    def wait(self, within: float = 20.0) -> int:
        """The exit code, once the process has ended."""
        return self.running.wait(within)

    def stop(self, within: float = 20.0) -> int:
        """TERM, and the exit code."""
        self.http.close()
        if self.running.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            return self.wait(within)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(f"the broker did not stop within {within} s:\n{self.stderr}") from None

    def kill9(self) -> None:
        """Master and worker at once, as a power cut would."""
        self.http.close()
        group = [process for process in psutil.process_iter() if group_of(process) == self.running.pid]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait(10)
        wait_until(lambda: all(map(has_ended, group)), what="the end of every process")
