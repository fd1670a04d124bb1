"""All clients come at once, are impatient, and come again, while a database has answers for 800 of them a second.

    python benchmarks/bench_storm.py [clients] [patience]

Each client sends CONNECT and hangs up when no CONNACK comes within `patience` seconds; it comes again half a second
later. Printed: when the last one was in, and the look-ups that took. The exit status is 1 when the goals are missed:
all in within 20 s, 1.3 look-ups for each.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import requests
from brokers import CHECKOUT, CONNACK, Broker, Ports, running
from gevent import socket
from peers import APPLICATION, our_command, our_version

BREAK_S = 0.5
WITHIN_S, EACH = 20.0, 1.3
PLUGIN = "storm_auth"


@dataclass(slots=True)
class Storm:
    """`n` clients against the listener on `port`. `arrivals`: seconds after which each was in."""

    port: int
    patience: float
    arrivals: list[float] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    tries: int = 0
    began: float = field(default_factory=time.monotonic)

    def run(self, n: int, within: float) -> None:
        """Returns when all are in, or after `within` seconds."""
        clients = [gevent.spawn(self._client, number) for number in range(n)]
        gevent.joinall(clients, within)
        gevent.killall(clients)

    def end(self) -> None:
        for connection in self.connections:
            connection.close()

    def _client(self, number: int) -> None:
        name = b"storm-%d" % number
        packet = b"\x10" + bytes([12 + len(name)]) + b"\0\4MQTT\4\2\0\0" + len(name).to_bytes(2, "big") + name
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


def main() -> int:
    clients = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    patience = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    with tempfile.TemporaryDirectory() as name:
        site = Path(name) / "site"
        install(site)

        def command(ports: Ports, directory: Path) -> list[str]:
            line = our_command(ports, directory, LOADED_PLUGINS=PLUGIN)
            return ["env", f"PYTHONPATH={site}", *line]

        with running(Broker("ours", command, our_version), lambda: None) as broker:  # type: ignore[arg-type]
            storm = Storm(broker.port, patience)
            storm.run(clients, 3 * WITHIN_S)
            url = f"http://127.0.0.1:{broker.api_port}/api/v3/storm"
            look_ups = requests.get(url, auth=APPLICATION, timeout=10).json()
            storm.end()
    last = max(storm.arrivals, default=0.0)
    print(f"{len(storm.arrivals):,} of {clients:,} clients are in after {last:.1f} s, "
          f"{look_ups / clients:.2f} look-ups and {storm.tries / clients:.2f} CONNECTs for each")
    return int(len(storm.arrivals) < clients or last > WITHIN_S or look_ups > EACH * clients)


if __name__ == "__main__":
    sys.exit(main())
