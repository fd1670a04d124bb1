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

from emqx_mgmt.listeners.certificate import make_certificate

CHECKOUT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
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
MOSQUITTO_TRANSPORTS = """\
listener {tls} 127.0.0.1
certfile {directory}/cert.pem
keyfile {directory}/key.pem
listener {ws} 127.0.0.1
protocol websockets
listener {wss} 127.0.0.1
protocol websockets
certfile {directory}/cert.pem
keyfile {directory}/key.pem
"""
Ports = dict[str, int]
TRANSPORTS = ("tcp", "tls", "ws", "wss")


@dataclass(frozen=True, slots=True)
class Broker:
    """`command` gets (ports by transport, scratch directory) and returns the command line; `missing` says what to
    install."""

    name: str
    command: Callable[[Ports, Path], list[str]]
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
    """A started broker that accepts connections on `ports`, and ours REST requests on `api_port`."""

    def __init__(self, broker: Broker, process: subprocess.Popen[bytes], ports: Ports, api_port: int) -> None:
        self.name = broker.name
        self.ports = ports
        self.port = ports["tcp"]
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


def environment(directory: Path, ports: Ports, api_port: int) -> dict[str, str]:
    """This process's environment, and our broker's settings: a data directory and ports of its own, as many topic
    aliases as mosquitto allows, and packets large enough for the size loads."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMQX_", "GUNICORN"))}
    return inherited | {
        "EMQX_NODE__DATA_DIR": str(directory / "data"),
        "EMQX_LISTENER__TCP__EXTERNAL": f"127.0.0.1:{ports['tcp']}",
        "EMQX_LISTENER__TCP__INTERNAL": "off",
        "EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{ports['tls']}",
        "EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{ports['ws']}",
        "EMQX_LISTENER__WSS__EXTERNAL": f"127.0.0.1:{ports['wss']}",
        "EMQX_LISTENER__WSS__EXTERNAL__MAX_CONNECTIONS": "100000",
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
        directory, api_port = Path(name), free_port()
        ports = {transport: free_port() for transport in TRANSPORTS}
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                broker.command(ports, directory),
                cwd=CHECKOUT,
                env=environment(directory, ports, api_port),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=placement,
            )
        started = RunningBroker(broker, process, ports, api_port)
        try:
            wait_for_port(process, ports["tcp"], log)
            yield started
        finally:
            started.stop()


def our_version() -> str:
    project: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    return project


def our_command(ports: Ports, directory: Path) -> list[str]:
    return [sys.executable, "-m", "gunicorn", "wsgi:app"]


def mosquitto_program() -> str:
    return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


def mosquitto_command(ports: Ports, directory: Path) -> list[str]:
    """With a certificate made as our development one is, so that the keys are of one kind."""
    make_certificate(directory, "127.0.0.1")
    configuration = directory / "mosquitto.conf"
    configuration.write_text(MOSQUITTO_CONFIGURATION.format(port=ports["tcp"])
                             + MOSQUITTO_TRANSPORTS.format(directory=directory, **ports))
    return [mosquitto_program(), "-c", str(configuration)]


def mosquitto_version() -> str:
    output = subprocess.run([mosquitto_program(), "-h"], capture_output=True, text=True, check=False).stdout
    return output.split("\n", 1)[0].removeprefix("mosquitto version ")


def rumqttd_command(ports: Ports, directory: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("rumqttd.py")), str(ports["tcp"])]


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
