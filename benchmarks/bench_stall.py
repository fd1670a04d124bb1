"""What other clients notice when the server of users is stopped: PINGREQ to PINGRESP, in turns with it running.

    python benchmarks/bench_stall.py [rounds] [back-end ...]

Fifty clients a second log in, whose users are in the back-end, while another client sends PINGREQ every 5 ms: three
seconds with the server running, then three with all its processes stopped by SIGSTOP, again and again. Printed: medians
of the rounds' 99th percentiles and of the slowest pings, in ms. The exit status is 1 when a stopped server makes a 99th
percentile of 10 ms or more that it is not while the server runs.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gevent
from bench_auth import connect_packet, with_user
from brokers import CHECKOUT
from gevent import monkey, socket

sys.path.insert(0, str(CHECKOUT))
monkey.patch_all()

from tests.auth_backends.conftest import BACKENDS, place_for_servers  # noqa: E402
from tests.backends.server import Server  # noqa: E402
from tests.broker_process import BrokerProcess, wait_until  # noqa: E402
from tests.plugins.conftest import load  # noqa: E402

SECONDS = 3.0
LOG_INS_S = 50
PING_EVERY_S = 0.005
GOAL_MS = 10.0


def log_in(port: int, number: int) -> None:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(connect_packet(f"c{number}"))
        connection.recv(4)


def log_ins(port: int) -> None:
    number = 0
    while True:
        gevent.spawn(log_in, port, number)
        number += 1
        gevent.sleep(1 / LOG_INS_S)


def pings(connection: socket.socket) -> tuple[float, float]:
    """The 99th percentile and the slowest, in ms."""
    seen = []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        connection.sendall(b"\xc0\0")
        assert connection.recv(2) == b"\xd0\0"
        seen.append((time.monotonic() - began) * 1000)
        gevent.sleep(PING_EVERY_S)
    return statistics.quantiles(seen, n=100)[98], max(seen)


def status(broker: BrokerProcess, server: Server) -> dict[str, object]:
    return dict(broker.api("GET", f"plugins/{server.plugin}/status").json())


def measured(server: Server, rounds: int) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    running, stopped = [], []
    with tempfile.TemporaryDirectory() as directory:
        broker = BrokerProcess(Path(directory), server.env | {"EMQX_ALLOW_ANONYMOUS": "false"}).start()
        try:
            load(broker, server.plugin)
            with socket.create_connection(("127.0.0.1", broker.mqtt_port)) as connection:
                connection.sendall(connect_packet("pinging"))
                assert connection.recv(4) == b"\x20\x02\0\0"
                coming = gevent.spawn(log_ins, broker.mqtt_port)
                for _ in range(rounds):
                    running.append(pings(connection))
                    with server.paused():
                        stopped.append(pings(connection))
                    wait_until(lambda: status(broker, server)["breaker"] == "closed")
                coming.kill()
        finally:
            broker.kill9()
    return running, stopped


def main(rounds: int, names: list[str]) -> int:
    print("back-end     running p99  slowest   stopped p99  slowest  (ms)")
    is_missed = False
    for name in names:
        with place_for_servers() as place:
            server = BACKENDS[name](place / name)
            try:
                with_user(server)
                phases = measured(server, rounds)
            finally:
                server.kill()
        (p99, slowest), (stopped, slowest_stopped) = (map(statistics.median, zip(*phase, strict=True))
                                                      for phase in phases)
        print(f"{name:12} {p99:11.2f} {slowest:8.1f} {stopped:13.2f} {slowest_stopped:8.1f}", flush=True)
        is_missed |= stopped >= GOAL_MS > p99
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or list(BACKENDS)))
