"""A start with persistent sessions and queued messages in the store, until a client finds its session and its queue.

    python benchmarks/bench_start.py [sessions] [messages]

The store is filled with SQL, as if the broker had written it. The check of the file is a part of the start.
"""

from __future__ import annotations

import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from brokers import CHECKOUT, Broker, Ports, running
from peers import our_command, our_version

sys.path.insert(0, str(CHECKOUT))

from emqx_mgmt.broker.durable import StoredSession, encode
from emqx_mgmt.storage.messages.commits import Commits
from emqx_mgmt.storage.messages.tables import FILE_NAME, JOURNAL_NAME, PLACE, PLACES, RECORDS, connect, migrate
from emqx_mgmt.storage.transaction import transaction

BODY = struct.Struct("<qIBBHHII")
PAYLOAD = bytes(64)


def body(topic: bytes, at: float) -> bytes:
    """As router_ext/durable/journal.pyx lays it out."""
    return BODY.pack(int(at * 1000), 0, 1, 0, len(topic), 0, 0, len(PAYLOAD)) + topic + PAYLOAD


def places(sessions: int, messages: int, now: float) -> Iterator[tuple[int | bytes, ...]]:
    for number in range(1, messages + 1):
        sid = number % sessions + 1
        place = (sid, number, number, 0, 1, 0, 0, 0)
        yield *place, PLACES.append(body(b"device/%d" % sid, now), *place)


def facts(table: str, rows: Iterator[tuple[int, bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
    for sid, key, value in rows:
        yield sid, key, RECORDS[table].append(value, sid, key)


def fill(data_dir: Path, sessions: int, messages: int) -> None:
    data_dir.mkdir(mode=0o700, exist_ok=True)
    Commits(data_dir / JOURNAL_NAME, "fsync").close()
    connection = connect(data_dir / FILE_NAME)
    migrate(connection, data_dir / JOURNAL_NAME)
    now = time.time()
    with transaction(connection):
        connection.executemany("INSERT INTO session VALUES (?, ?, ?)", facts("session", (
            (sid, b"", encode(StoredSession(f"client-{sid}", None, "external", False, now, 0xFFFFFFFF, now)))
            for sid in range(1, sessions + 1))))
        connection.executemany("INSERT INTO subscription VALUES (?, ?, ?)", facts("subscription", (
            (sid, b"device/%d" % sid, encode((1, 0))) for sid in range(1, sessions + 1))))
        connection.executemany(f"INSERT INTO place ({PLACE}, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                               places(sessions, messages, now))
    connection.close()


def find_queue(port: int, name: bytes) -> tuple[bool, bytes]:
    """Whether the session is present, and the first packets of its queue."""
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        body = b"\0\4MQTT\4\0\0\0" + struct.pack(">H", len(name)) + name
        sock.sendall(bytes([0x10, len(body)]) + body)
        sock.settimeout(60)
        data = b""
        while len(data) < 16:
            data += sock.recv(4096)
        return bool(data[2] & 1), data[4:]


def main() -> None:
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        data_dir = Path(name) / "data"
        fill(data_dir, sessions, messages)
        size = sum(file.stat().st_size for file in data_dir.iterdir())

        def command(ports: Ports, directory: Path) -> list[str]:
            return our_command(ports, directory, NODE__DATA_DIR=str(data_dir))

        began = time.perf_counter()
        with running(Broker("ours", command, our_version), lambda: None) as broker:  # type: ignore[arg-type]
            present, packets = find_queue(broker.port, b"client-77")
            took = time.perf_counter() - began
            assert present, "the session was not there"
            assert packets[0] >> 4 == 3, f"no message came: {packets!r}"
            parts = psutil.Process(broker.process.pid).children(recursive=True)
            print(f"{sessions:,} sessions, {messages:,} messages, {size >> 20} MiB on disk: {took:.1f} s; "
                  "resident MiB: " + ", ".join(str(part.memory_info().rss >> 20) for part in parts))


if __name__ == "__main__":
    main()
