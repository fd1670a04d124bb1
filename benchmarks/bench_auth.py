"""What a log-in costs whose user is in a database, beside one that anybody may do, and what the others notice.

    python benchmarks/bench_auth.py [seconds] [back-end ...]

For each back-end in turn, 32 clients connect, publish once and leave, again and again, while another client sends
PINGREQ every 5 ms. Printed: log-ins a second, the median of CONNECT to CONNACK and of the first PUBLISH (its rules come
from the database), and the median and 99th percentile of the pings. The servers are those of tests/backends; `jwt`
needs none: clients show a token of HS256.
"""

from __future__ import annotations

import statistics
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import gevent
from brokers import CHECKOUT
from gevent import monkey, socket

sys.path.insert(0, str(CHECKOUT))
monkey.patch_all()

import jwt  # noqa: E402

from tests.auth_backends.conftest import BACKENDS, place_for_servers, sha256  # noqa: E402
from tests.backends.server import Server  # noqa: E402
from tests.broker_process import BrokerProcess  # noqa: E402
from tests.plugins.conftest import load  # noqa: E402

CLIENTS = 32
PING_EVERY_S = 0.005
SECRET = "of the benchmark, and of 32 bytes"
ACCEPTED = b"\x20\x02\0\0"


@dataclass(slots=True)
class Seen:
    """In seconds."""

    log_ins: list[float] = field(default_factory=list)
    publishes: list[float] = field(default_factory=list)
    pings: list[float] = field(default_factory=list)


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def connect_packet(client_id: str, password: str = "secret") -> bytes:
    """MQTT 3.1.1, with the user name and password of the back-end's one user."""
    body = text("MQTT") + b"\x04\xc2\0\x3c" + text(client_id) + text("joe") + text(password)
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    return b"\x10" + length + body


def connected(port: int, client_id: str, password: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(connect_packet(client_id, password))
    answer = connection.recv(4)
    assert answer == ACCEPTED, answer
    return connection


def log_in_again_and_again(port: int, number: int, password: str, seen: Seen) -> None:
    publish = text("bench/joe") + b"\0\1"
    while True:
        began = time.monotonic()
        connection = connected(port, f"c{number}", password)
        let_in = time.monotonic()
        connection.sendall(b"\x32" + bytes((len(publish),)) + publish)
        assert connection.recv(4) == b"\x40\x02\0\1"
        seen.log_ins.append(let_in - began)
        seen.publishes.append(time.monotonic() - let_in)
        connection.sendall(b"\xe0\0")
        connection.close()


def ping(port: int, password: str, seen: Seen) -> None:
    connection = connected(port, "pinging", password)
    while True:
        began = time.monotonic()
        connection.sendall(b"\xc0\0")
        assert connection.recv(2) == b"\xd0\0"
        seen.pings.append(time.monotonic() - began)
        gevent.sleep(PING_EVERY_S)


def measured(port: int, seconds: float, password: str) -> Seen:
    seen = Seen()
    greenlets = [gevent.spawn(log_in_again_and_again, port, number, password, seen) for number in range(CLIENTS)]
    greenlets.append(gevent.spawn(ping, port, password, seen))
    gevent.joinall(greenlets, seconds, raise_error=True)
    gevent.killall(greenlets)
    assert len(seen.log_ins) > CLIENTS, "hardly anybody was let in"
    return seen


def report(name: str, seen: Seen, seconds: float) -> None:
    pings = statistics.quantiles(seen.pings, n=100)
    figures = [len(seen.log_ins) / seconds, *(one * 1000 for one in (
        statistics.median(seen.log_ins), statistics.median(seen.publishes), pings[49], pings[98]))]
    print(f"{name:12} {figures[0]:9.0f} " + " ".join(f"{figure:12.2f}" for figure in figures[1:]), flush=True)


def run(name: str, env: dict[str, str], plugin: str, seconds: float, password: str = "secret") -> None:
    with tempfile.TemporaryDirectory() as directory:
        broker = BrokerProcess(Path(directory), env).start()
        try:
            if plugin:
                load(broker, plugin)
            report(name, measured(broker.mqtt_port, seconds, password), seconds)
        finally:
            broker.kill9()


def with_user(server: Server) -> Server:
    server.start()
    server.set_up()
    server.add_user("joe", sha256("secret"))
    if server.has_rules:
        server.add_rule(1, "bench/%u", 3, username="joe")
    return server


def main(seconds: float, names: list[str]) -> None:
    print("back-end     log-ins/s  log-in p50 ms  publish p50   ping p50     ping p99")
    run("anonymous", {}, "", seconds)
    for name in names:
        if name == "jwt":
            run(name, {"EMQX_AUTH__JWT__SECRET": SECRET, "EMQX_ALLOW_ANONYMOUS": "false"}, "emqx_auth_jwt", seconds,
                jwt.encode({"sub": "joe", "acl": {"pub": ["bench/%u"]}}, SECRET, "HS256"))
            continue
        with place_for_servers() as place:
            server = BACKENDS[name](place / name)
            try:
                with_user(server)
                run(name, server.env | {"EMQX_ALLOW_ANONYMOUS": "false"}, server.plugin, seconds)
            finally:
                server.kill()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0, sys.argv[2:] or [*BACKENDS, "jwt"])
