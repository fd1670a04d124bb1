"""All clients come at once, are impatient, and come again, while a database has answers for 800 of them a second.

    python benchmarks/bench_storm.py [clients] [patience] [back-end]

Each client sends CONNECT and hangs up when no CONNACK comes within `patience` seconds; it comes again half a second
later. Without a back-end a plugin stands for it; mysql and pgsql are asked queries of 10 ms over 8 connections; others
answer as fast as they do. Printed: when the last one was in, the look-ups that took, and how long another
client's publishes and pings took before and meanwhile; it is in a process of its own, and must not lose a message.
The exit status is 1 when the goals are missed: all in within 20 s, 1.3 look-ups for each, and 99 % of the pings below
20 ms.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import requests
from bench_auth import BACKENDS, place_for_servers, text, with_user
from brokers import CHECKOUT, CONNACK, Broker, Ports, running
from gevent import socket
from peers import APPLICATION, our_command, our_version

BREAK_S = 0.5
BEFORE_S = 2.0
WITHIN_S, EACH, PING_MS = 20.0, 1.3, 20.0
PINGS = Path(__file__).with_name("pings.py")
PLUGIN = "storm_auth"


@dataclass(slots=True)
class Storm:
    """`n` clients against the listener on `port`. `credentials` are user name and password as they stand in CONNECT.
    `arrivals`: seconds after which each was in; `pings`: what another client's took, in ms, and `idle_pings` before."""

    port: int
    patience: float
    credentials: bytes = b""
    arrivals: list[float] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)
    idle_pings: list[float] = field(default_factory=list)
    tries: int = 0
    began: float = field(default_factory=time.monotonic)

    def run(self, n: int, within: float) -> None:
        """Returns when all are in, or after `within` seconds."""
        with self._pinging(self.idle_pings):
            gevent.sleep(BEFORE_S)
        self.began = time.monotonic()
        with self._pinging(self.pings):
            clients = [gevent.spawn(self._client, number) for number in range(n)]
            gevent.joinall(clients, within)
        gevent.killall(clients)

    @contextmanager
    def _pinging(self, took: list[float]) -> Iterator[None]:
        command = [sys.executable, str(PINGS), str(self.port), self._connect(b"pinging").hex(), "bench/joe"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        gevent.sleep(0.5)  # until it has started
        yield
        took += map(float, process.communicate()[0].split())
        assert process.returncode == 0, "the other client lost a message"

    def _connect(self, name: bytes) -> bytes:
        flags = 0xC2 if self.credentials else 2
        body = b"\0\4MQTT\4" + bytes((flags, 0, 0)) + len(name).to_bytes(2, "big") + name + self.credentials
        return b"\x10" + bytes([len(body)]) + body

    def end(self) -> None:
        for connection in self.connections:
            connection.close()

    def _client(self, number: int) -> None:
        packet = self._connect(b"storm-%d" % number)
        while not self._is_let_in(packet):
            gevent.sleep(BREAK_S)
        self.arrivals.append(time.monotonic() - self.began)

    def _is_let_in(self, packet: bytes) -> bool:
        self.tries += 1
        connection = socket.socket()
        try:
            with gevent.Timeout(self.patience):
                connection.connect(("127.0.0.1", self.port))
                connection.sendall(packet)
                if connection.recv(4) == CONNACK:
                    self.connections.append(connection)
                    return True
        except (OSError, gevent.Timeout):
            pass
        connection.close()
        return False


def install(site: Path) -> None:
    """The plugin as an installer leaves it."""
    info = site / "storm-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: storm\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[emqx_mgmt.plugins]\n{PLUGIN} = storm_auth:StormAuth\n")
    shutil.copy(CHECKOUT / "benchmarks" / "storm" / "storm_auth.py", site)


# Of 10 ms, and with everything in one row.
SLOW = {
    "mysql": "select password, is_superuser, sleep(0.01) from mqtt_user where username = '%u'",
    "pgsql": "select password, is_superuser, pg_sleep(0.01) from mqtt_user where username = '%u'",
}


@dataclass(slots=True)
class BackEnd:
    """`variables` are of the broker's environment; `look_ups` reads how many there were from what `path` answers."""

    plugin: str
    variables: dict[str, str]
    credentials: bytes
    path: str
    look_ups: Callable[[Any], int]


@contextmanager
def stand_in() -> Iterator[BackEnd]:
    with tempfile.TemporaryDirectory() as place:
        install(Path(place) / "site")
        yield BackEnd(PLUGIN, {"PYTHONPATH": f"{place}/site"}, b"", "storm", int)


@contextmanager
def server_named(name: str) -> Iterator[BackEnd]:
    with place_for_servers() as place:
        server = BACKENDS[name](place / name)
        try:
            with_user(server)
            query = {f"EMQX_{server.prefix}.auth_query".upper().replace(".", "__"): SLOW[name]} if name in SLOW else {}
            yield BackEnd(server.plugin, server.env | query, text("joe") + text("secret"),
                          f"plugins/{server.plugin}/status", lambda status: int(status["lookups"]["asked"]))
        finally:
            server.kill()


def main() -> int:
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    patience = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    with server_named(sys.argv[3]) if len(sys.argv) > 3 else stand_in() as back_end:
        def command(ports: Ports, directory: Path) -> list[str]:
            variables = [f"{name}={value}" for name, value in back_end.variables.items()]
            return ["env", *variables, *our_command(ports, directory, LOADED_PLUGINS=back_end.plugin)]

        with running(Broker("ours", command, our_version), lambda: None) as broker:  # type: ignore[arg-type]
            storm = Storm(broker.port, patience, back_end.credentials)
            storm.run(clients, 3 * WITHIN_S)
            url = f"http://127.0.0.1:{broker.api_port}/api/v3/{back_end.path}"
            look_ups = back_end.look_ups(requests.get(url, auth=APPLICATION, timeout=10).json())
            storm.end()
    last = max(storm.arrivals, default=0.0)
    print(f"{len(storm.arrivals):,} of {clients:,} clients are in after {last:.1f} s, "
          f"{look_ups / clients:.2f} look-ups and {storm.tries / clients:.2f} CONNECTs for each")
    (median, p99), (idle_median, idle_p99) = (
        (statistics.median(took), statistics.quantiles(took, n=100)[98]) for took in (storm.pings, storm.idle_pings))
    print(f"pings: median {median:.1f} ms, 99th percentile {p99:.1f} ms, slowest {max(storm.pings):.1f} ms; before "
          f"{idle_median:.1f}, {idle_p99:.1f} and {max(storm.idle_pings):.1f} ms")
    is_missed = last > WITHIN_S or look_ups > EACH * clients or p99 >= PING_MS
    return int(len(storm.arrivals) < clients or is_missed)


if __name__ == "__main__":
    sys.exit(main())
