"""The store process: `python -m emqx_mgmt.storage.messages.process <socket> <data directory> <durability>`.

It is fed by the worker over a socket pair and ends with it. Frames are those of router_ext/journal.pxd.
"""

from __future__ import annotations

import fcntl
import gc
import os
import select
import signal
import socket
import sqlite3
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from emqx_mgmt.storage.messages.tables import FILE_NAME, Damaged
from emqx_mgmt.storage.messages.writer import Writer, frames

BATCH, LOAD = 1, 2
COMMITTED, PAGE, FULL, ROOM, READY, FAILED = range(16, 22)
LOCK_NAME = "messages.lock"

AT_ONCE = 8 << 20       # bytes that may go into one commit
MANY_ROWS = 40_000      # rows are written when so many wait: fewer would write what is acknowledged in a moment,
OLD_ROWS = 1.0          # or when they have waited so many seconds
PAUSE = 0.25            # seconds between two tries on a full disk

T = TypeVar("T")


class Gone(Exception):
    """The worker has ended."""


class StoreProcess:
    def __init__(self, sock: socket.socket, writer: Writer) -> None:
        self._sock = sock
        self._writer = writer
        self._buffer = bytearray()

    def run(self) -> None:
        self.send(READY, 0)
        try:
            while True:
                if self._wait():
                    self._receive()
                    self._work()
                elif self._writer.rows:
                    self._insist(self._writer.settle)
                else:
                    self._writer.idle()
        except (Gone, BrokenPipeError, ConnectionResetError):
            pass
        self._writer.close()

    def _wait(self) -> bool:
        """Whether there is something to read; False after a moment in which there was not."""
        return bool(select.select([self._sock], [], [], OLD_ROWS / 4)[0])

    def _receive(self) -> None:
        """All that is there."""
        while len(self._buffer) < AT_ONCE:
            try:
                data = self._sock.recv(1 << 20, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if not data:
                raise Gone
            self._buffer += data

    def _work(self) -> None:
        batches: list[bytes] = []
        last = 0
        for kind, flag, number, content in frames(self._buffer):
            if kind == BATCH:
                batches.append(content)
                last = number
            else:
                self._commit(batches, last)
                batches = []
                after, limit = struct.unpack_from("<QI", content)
                self._insist(self._writer.advance)
                page = self._insist(lambda: self._writer.page(number, after, limit, bool(flag)))  # noqa: B023
                self.send(PAGE, number, page)
        self._commit(batches, last)
        self._insist(self._writer.advance)
        if self._writer.rows > MANY_ROWS or self._writer.age > OLD_ROWS:
            self._insist(self._writer.settle)

    def _commit(self, batches: list[bytes], last: int) -> None:
        if batches:
            self._insist(lambda: self._writer.commit(batches))
            self.send(COMMITTED, last)

    def _insist(self, action: Callable[[], T]) -> T:
        """The action's result, as soon as the disk lets it happen; the worker is told when it does not, and when it
        does again."""
        told = False
        while True:
            try:
                result = action()
            except sqlite3.OperationalError as error:
                if not told:
                    self.send(FULL, 0, str(error).encode())
                    told = True
                self._pause()
                continue
            if told:
                self.send(ROOM, 0)
            return result

    def _pause(self) -> None:
        """Raises Gone when nobody is left who waits for the disk."""
        time.sleep(PAUSE)
        if select.select([self._sock], [], [], 0)[0] and not self._sock.recv(1, socket.MSG_PEEK):
            raise Gone

    def send(self, kind: int, number: int, content: bytes = b"") -> None:
        self._sock.sendall(struct.pack("<IB3xQ", len(content), kind, number) + content)


def lock(data_dir: Path) -> int:
    """Waits until the store process before this one has ended; its worker may still be saying goodbye."""
    fd = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def main(fd: str, directory: str, durability: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # it ends when its worker does
    gc.disable()  # the fold holds many small objects and no cycles
    sock = socket.socket(fileno=int(fd))
    data_dir = Path(directory)
    lock(data_dir)
    try:
        writer = Writer(data_dir / FILE_NAME, durability)
    except (Damaged, ValueError, OSError, sqlite3.Error) as error:
        content = str(error).encode()
        sock.sendall(struct.pack("<IB3xQ", len(content), FAILED, 0) + content)
        return
    StoreProcess(sock, writer).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
