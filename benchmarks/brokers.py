"""The brokers that are compared: how each one is started, pinned to its core, and what it is called.

Every broker runs without limits that would make it drop messages, as one process or process tree on one core, with
nothing written to disk. Otherwise each keeps its own defaults.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).resolve().parent.parent
READY_WITHIN = 20.0
APPLICATION = ("bench", "bench-secret")

# max_queued_messages: the default of 1,000 a client drops what a burst leaves behind, so no limit.
# max_inflight_messages: the default of 20 disconnects a publisher whose QoS 2 window is 32, so no limit.
# set_tcp_nodelay stays off as by default: mosquitto is no faster with it.
MOSQUITTO_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous true
max_queued_messages 0
max_inflight_messages 0
persistence false
log_type error
user root
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """`command` gets (port, scratch directory) and returns the command line; `missing` says what to install."""

    name: str
    command: Callable[[int, Path], list[str]]
    version: Callable[[], str]
    missing: Callable[[], str | None]


class Placement:
    """The core that a process is pinned to, and whether it runs under the real-time scheduler."""

    def __init__(self, core: int, realtime: bool) -> None:
        self.core = core
        self.realtime = realtime

    def __call__(self) -> None:
        os.sched_setaffinity(0, {self.core})
        if self.realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class RunningBroker:
    """A started broker that accepts connections on `port`, and ours REST requests on `api_port`."""

    def __init__(self, broker: Broker, process: subprocess.Popen[bytes], port: int, api_port: int) -> None:
        self.name = broker.name
        self.port = port
        self.api_port = api_port
        self.process = process

    def memory(self) -> int:
        """Resident bytes of the process and all below it."""
        root = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in [root, *root.children(recursive=True)])

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no broker on port {port}:\n{log.read_text(errors='replace')[-2000:]}")


def environment(directory: Path, port: int, api_port: int) -> dict[str, str]:
    """This process's environment, and our broker's settings: a data directory and ports of its own, as many topic
    aliases as mosquitto allows, and packets large enough for the size loads."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMQX_", "GUNICORN"))}
    return inherited | {
        "EMQX_NODE__DATA_DIR": str(directory / "data"),
        "EMQX_LISTENER__TCP__EXTERNAL": f"127.0.0.1:{port}",
        "EMQX_LISTENER__TCP__INTERNAL": "off",
        "EMQX_LISTENER__SSL__EXTERNAL": "off",
        "EMQX_LISTENER__WS__EXTERNAL": "off",
        "EMQX_LISTENER__WSS__EXTERNAL": "off",
        "EMQX_MANAGEMENT__LISTENER__HTTP": f"127.0.0.1:{api_port}",
        "EMQX_MQTT__MAX_TOPIC_ALIAS": "10",
        "EMQX_MQTT__MAX_PACKET_SIZE": "2MB",
        "EMQX_MANAGEMENT__BOOTSTRAP_APP": ":".join(APPLICATION),
        "EMQX_DASHBOARD__LISTENER__HTTP": f"127.0.0.1:{free_port()}",
    }


@contextlib.contextmanager
def running(broker: Broker, placement: Placement) -> Iterator[RunningBroker]:
    """The broker, from its first accepted connection to its end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory, port, api_port = Path(name), free_port(), free_port()
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                broker.command(port, directory),
                cwd=CHECKOUT,
                env=environment(directory, port, api_port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=placement,
            )
        started = RunningBroker(broker, process, port, api_port)
        try:
            wait_for_port(process, port, log)
            yield started
        finally:
            started.stop()


def our_version() -> str:
    project: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    return project


def our_command(port: int, directory: Path) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "wsgi:app"]


def mosquitto_program() -> str:
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def mosquitto_command(port: int, directory: Path) -> list[str]:
    configuration = directory / "mosquitto.conf"
    configuration.write_text(MOSQUITTO_CONFIGURATION.format(port=port))
    return [mosquitto_program(), "-c", str(configuration)]


def mosquitto_version() -> str:
    output = subprocess.run([mosquitto_program(), "-h"], capture_output=True, text=True, check=False).stdout
    return output.split("\n", 1)[0].removeprefix("mosquitto version ")


def rumqttd_command(port: int, directory: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("rumqttd.py")), str(port)]


BROKERS = {
    broker.name: broker
    for broker in (
        Broker("ours", our_command, our_version, lambda: None),
        Broker(
            "mosquitto",
            mosquitto_command,
            mosquitto_version,
            lambda: None if os.path.exists(mosquitto_program()) else "apt-get install mosquitto",
        ),
        Broker(
            "rumqttd",
            rumqttd_command,
            lambda: "in iotcore " + importlib.metadata.version("iotcore"),
            lambda: None if importlib.util.find_spec("iotcore") else "pip install iotcore",
        ),
    )
}
