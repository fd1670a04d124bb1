"""From nothing to the first CONNACK: `make run` in a new clone, then `make run` again, with the dashboard and without.

    python benchmarks/bench_first_start.py [with] [without]

The last commit is measured. pip and npm have empty caches, so each package is downloaded. Beside the seconds
stand those of the processors, which say more where the machine has other work, and the load average.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from brokers import CHECKOUT, CONNACK, CONNECT, DISCONNECT, PORTS, free_ports
from peers import our_command

AGAIN = 3
READY_WITHIN = 600.0
PAGES = Path("emqx_mgmt/dashboard/dist/index.html")


def connack(process: subprocess.Popen[bytes], port: int) -> None:
    """Waits until a CONNECT is accepted."""
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), READY_WITHIN) as sock:
            sock.sendall(CONNECT)
            if sock.recv(4) == CONNACK:
                sock.sendall(DISCONNECT)
                return
        time.sleep(0.005)
    raise SystemExit(f"`make run` ended with {process.poll()} and no CONNACK")


def processor_seconds() -> float:
    """Of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_run(clone: Path, caches: Path) -> str:
    """From `make run` to the first CONNACK: seconds, and those of the processors until the broker has stopped."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    settings = [word for word in our_command(ports, caches) if word.startswith("EMQX_")]
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "MAKEFLAGS")}
    environment |= {"PIP_CACHE_DIR": str(caches / "pip"), "npm_config_cache": str(caches / "npm")}
    environment |= dict(word.split("=", 1) for word in settings)
    began, used = time.perf_counter(), processor_seconds()
    process = subprocess.Popen(["make", "run"], cwd=clone, env=environment)
    try:
        connack(process, ports["tcp"])
        took = time.perf_counter() - began
    finally:
        for child in psutil.Process(process.pid).children():
            child.terminate()
        process.wait()
    return f"{took:.2f} s (processors {processor_seconds() - used:.1f} s)"


def main() -> None:
    for variant in sys.argv[1:] or ["with", "without"]:
        with tempfile.TemporaryDirectory() as name:
            clone, caches = Path(name) / "clone", Path(name) / "caches"
            subprocess.run(["git", "clone", "-q", CHECKOUT, clone], check=True)
            if variant == "without":
                (clone / PAGES).parent.mkdir()
                (clone / PAGES).touch()
            starts = [make_run(clone, caches) for _ in range(1 + AGAIN)]
            print(f"{variant} the dashboard, load {os.getloadavg()[0]:.1f}: first start {starts[0]}, then "
                  + ", ".join(starts[1:]), flush=True)


if __name__ == "__main__":
    main()
