"""A broker to be measured: how it is started, pinned to its core, weighed and ended."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).resolve().parent.parent
READY_WITHIN = 60.0
CONNECT = b"\x10\x11\0\4MQTT\4\2\0\x3c\0\5ready"
CONNACK, DISCONNECT = b"\x20\2\0\0", b"\xe0\0"
ANSWERS = (CONNACK, b"\x20\2\0\4", b"\x20\2\0\5")
Ports = dict[str, int]
PORTS = ("tcp", "tls", "ws", "wss", "api", "other")


@dataclass(frozen=True, slots=True)
class Broker:
    """`command` gets (ports by use, scratch directory) and returns the command line. `missing` says why it cannot run,
    in a few words, or None; `install` is a command that may change that. `versions` are the protocol levels it speaks,
    `ports` what it listens on. A `slow` one is measured under the loads of the main table only. `with_acl` is its
    command with 100 rules in force, `prompt` the one for latency, where small writes are not to wait for each other;
    `scraped` is the path of its Prometheus text on the port `api`."""

    name: str
    command: Callable[[Ports, Path], list[str]]
    version: Callable[[], str]
    missing: Callable[[], str | None] = lambda: None
    install: tuple[str, ...] = ()
    versions: tuple[int, ...] = (4,)
    ports: tuple[str, ...] = ("tcp",)
    slow: bool = False
    with_acl: Callable[[Ports, Path], list[str]] | None = None
    prompt: Callable[[Ports, Path], list[str]] | None = None
    scraped: str = ""


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
    """A started broker that accepts connections on `ports`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], ports: Ports) -> None:
        self.name = name
        self.process = process
        self.ports = ports
        self.port = ports["tcp"]
        self.api_port = ports["api"]

    def processes(self) -> list[psutil.Process]:
        """The process and all below it."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def memory(self) -> int:
        """Resident bytes."""
        return sum(process.memory_info().rss for process in self.processes())

    def cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self.processes()]
        return sum(time.user + time.system for time in times)

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, all different, and below those that the system gives to outgoing connections: one of the
    thousands that the loads make could take a port before the broker does."""
    found: list[int] = []
    for port in random.sample(range(10_000, 32_768), 100 * count):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def wait_for_broker(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until a CONNECT is accepted, or refused for its credentials: a socket may take connections before there is a
    broker behind it."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), READY_WITHIN) as sock:
            sock.sendall(CONNECT)
            if sock.recv(4) in ANSWERS:
                sock.sendall(DISCONNECT)
                return
        time.sleep(0.05)
    raise RuntimeError(f"no broker on port {port}:\n{log.read_text(errors='replace')[-2000:]}")


@contextlib.contextmanager
def running(broker: Broker, placement: Placement) -> Iterator[RunningBroker]:
    """The broker, from its first accepted connection to its end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        log = directory / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMQX_", "GUNICORN"))}
        with log.open("wb") as output:
            process = subprocess.Popen(
                broker.command(ports, directory),
                cwd=CHECKOUT,
                env=inherited,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=placement,
            )
        started = RunningBroker(broker.name, process, ports)
        try:
            wait_for_broker(process, ports["tcp"], log)
            yield started
        finally:
            started.stop()
