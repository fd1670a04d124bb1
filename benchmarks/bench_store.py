"""Embedded stores on the workload of the message store, written by a process of its own beside a busy loop.

    python -m benchmarks.bench_store [directory]

A commit stores 500 messages of 64 bytes, each in one of 10,000 queues, and removes those that were stored 20 commits
before (their acknowledgements have come); it is synced. At the end the queues that are left are read in order. The
sender spins between batches, as a saturated loop does. `lmdb` and `rocksdict` are needed for their own rows only.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import statistics
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

BATCH = 500
COMMITS = 400
QUEUES = 10_000
LAG = 20
PAYLOAD = bytes(64)


class Engine(Protocol):
    def store(self, first: int, gone: int) -> None: ...
    def scan(self) -> int: ...


def numbers(first: int) -> range:
    return range(first, first + BATCH)


def queue_of(number: int) -> int:
    return number * 7919 % QUEUES


class Sqlite:
    """A row for each message and one for its place in a queue."""

    def __init__(self, place: Path) -> None:
        self.db = sqlite3.connect(place / "store.db", isolation_level=None)
        self.db.executescript(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
            "CREATE TABLE message (number INTEGER PRIMARY KEY, refs INTEGER, body BLOB);"
            "CREATE TABLE queue (sid INTEGER, number INTEGER, PRIMARY KEY (sid, number)) WITHOUT ROWID;"
            "CREATE TABLE journal (number INTEGER PRIMARY KEY, data BLOB);")

    def store(self, first: int, gone: int) -> None:
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO message VALUES (?, 1, ?)", [(n, PAYLOAD) for n in numbers(first)])
        self.db.executemany("INSERT INTO queue VALUES (?, ?)", [(queue_of(n), n) for n in numbers(first)])
        if gone >= 0:
            self.db.executemany("DELETE FROM queue WHERE sid = ? AND number = ?",
                                [(queue_of(n), n) for n in numbers(gone)])
            self.db.executemany("DELETE FROM message WHERE number = ?", [(n,) for n in numbers(gone)])
        self.db.execute("COMMIT")

    def scan(self) -> int:
        rows = self.db.execute("SELECT sid, body FROM queue JOIN message USING (number) ORDER BY sid, number")
        return sum(1 for _ in rows)


class SqliteJournal(Sqlite):
    """A row for each commit, taken apart later: what is gone by then never becomes a row (the one that was taken)."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.window: dict[int, bytes] = {}
        self.folded = -1

    def store(self, first: int, gone: int) -> None:
        data = b"".join(struct.pack("<BQQH", 1, n, queue_of(n), 64) + PAYLOAD for n in numbers(first))
        data += b"".join(struct.pack("<BQQ", 2, n, queue_of(n)) for n in numbers(gone) if gone >= 0)
        self.db.execute("INSERT INTO journal VALUES (?, ?)", (first, data))
        for n in numbers(first):
            self.window[n] = PAYLOAD
        for n in numbers(gone):
            self.window.pop(n, None)
        if first // BATCH % 100 == 99:
            self.settle()

    def settle(self) -> None:
        self.db.execute("BEGIN")
        self.db.execute("DELETE FROM journal")
        self.db.execute("COMMIT")

    def scan(self) -> int:
        for first in range(min(self.window), max(self.window), BATCH):
            super().store(first, -1)
        return super().scan()


class Lmdb:
    def __init__(self, place: Path) -> None:
        import lmdb

        self.env = lmdb.open(str(place), map_size=1 << 30, max_dbs=2)
        self.message = self.env.open_db(b"message")
        self.queue = self.env.open_db(b"queue")

    def store(self, first: int, gone: int) -> None:
        with self.env.begin(write=True) as txn:
            txn.cursor(self.message).putmulti([(struct.pack(">Q", n), PAYLOAD) for n in numbers(first)], append=True)
            txn.cursor(self.queue).putmulti([(struct.pack(">QQ", queue_of(n), n), b"\1") for n in numbers(first)])
            for n in numbers(gone) if gone >= 0 else ():
                txn.delete(struct.pack(">Q", n), db=self.message)
                txn.delete(struct.pack(">QQ", queue_of(n), n), db=self.queue)

    def scan(self) -> int:
        with self.env.begin() as txn:
            return sum(txn.get(key[8:], db=self.message) is not None for key in txn.cursor(self.queue).iternext(
                keys=True, values=False))


class Rocks:
    def __init__(self, place: Path) -> None:
        from rocksdict import Options, Rdict, WriteBatch, WriteOptions

        self.batch = WriteBatch
        self.db = Rdict(str(place), Options(raw_mode=True))
        self.synced = WriteOptions()
        self.synced.sync = True
        self.db.set_write_options(self.synced)

    def store(self, first: int, gone: int) -> None:
        batch = self.batch(raw_mode=True)
        for n in numbers(first):
            batch.put(struct.pack(">cQ", b"m", n), PAYLOAD)
            batch.put(struct.pack(">cQQ", b"q", queue_of(n), n), b"\1")
        for n in numbers(gone) if gone >= 0 else ():
            batch.delete(struct.pack(">cQ", b"m", n))
            batch.delete(struct.pack(">cQQ", b"q", queue_of(n), n))
        self.db.write(batch, self.synced)

    def scan(self) -> int:
        found = 0
        for key in self.db.keys(from_key=b"q"):
            found += self.db.get(b"m" + key[9:]) is not None
        return found


ENGINES: dict[str, Callable[[Path], Any]] = {
    "SQLite, rows": Sqlite, "SQLite, journal": SqliteJournal, "LMDB": Lmdb, "RocksDB": Rocks}


def serve(sock: socket.socket, make: Callable[[Path], Engine], place: Path) -> None:
    """The store process: one commit for each batch number that comes in."""
    engine = make(place)
    while True:
        data = sock.recv(8)
        if not data:
            break
        first = struct.unpack("<q", data)[0]
        engine.store(first, first - LAG * BATCH if first >= LAG * BATCH else -1)
        sock.send(data)
    cpu = time.process_time()
    began = time.perf_counter()
    found = engine.scan()
    sock.send(struct.pack("<ddq", cpu, time.perf_counter() - began, found))
    os._exit(0)


def measure(make: Callable[[Path], Engine], place: Path) -> tuple[float, float, float, float, int]:
    """Messages a second, p99 of a commit in ms, CPU µs a message, messages a second when read, messages left."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        serve(theirs, make, place)
    theirs.close()
    ours.setblocking(False)
    waiting: deque[float] = deque()
    times: list[float] = []
    sent = done = 0
    began = time.perf_counter()
    while done < COMMITS:  # never sleeps: a saturated loop
        if sent < COMMITS and len(waiting) < 4:
            ours.send(struct.pack("<q", sent * BATCH))
            waiting.append(time.perf_counter())
            sent += 1
        try:
            answered = len(ours.recv(64)) // 8
        except BlockingIOError:
            continue
        for _ in range(answered):
            times.append(time.perf_counter() - waiting.popleft())
        done += answered
    took = time.perf_counter() - began
    ours.setblocking(True)
    ours.shutdown(socket.SHUT_WR)
    cpu, scan, found = struct.unpack("<ddq", ours.recv(24))
    os.wait()
    messages = COMMITS * BATCH
    return (messages / took, statistics.quantiles(times, n=100)[98] * 1000, cpu / messages * 1e6, found / scan, found)


def main(arguments: Iterable[str]) -> None:
    base = next(iter(arguments), None)
    print(f"{'':18}{'msg/s':>10}{'p99 ms':>9}{'CPU µs/msg':>12}{'read msg/s':>12}")
    for name, make in ENGINES.items():
        place = Path(tempfile.mkdtemp(dir=base))
        try:
            rate, p99, cpu, scan, left = measure(make, place)
        except ImportError as error:
            print(f"{name:18}{error}")
            continue
        finally:
            shutil.rmtree(place)
        assert left == LAG * BATCH, f"{name} has {left} messages, not {LAG * BATCH}"
        print(f"{name:18}{rate:10,.0f}{p99:9.1f}{cpu:12.2f}{scan:12,.0f}")


if __name__ == "__main__":
    main(sys.argv[1:])
