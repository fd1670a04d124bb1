"""The worker's end of the store process: starts it, waits until it is ready, ends it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from gevent import subprocess

from emqx_mgmt.storage.messages.frames import ANSWER, FAILED, FULL, READY
from emqx_mgmt.storage.processes import command, environment

if TYPE_CHECKING:
    from router_ext.durable.journal import Journal

log = logging.getLogger(__name__)

BUFFER = 4 << 20    # bytes the kernel holds while the store is in a commit


class StoreFailed(Exception):
    """The store process cannot open the store; the text says why."""


class StoreEnded(Exception):
    """The process was killed before it was ready; starting another one may succeed."""


class StoreLink:
    """One store process. `start` waits until it is ready, and before that until the one before it has ended. `hindered`
    is called with a sentence while the disk prevents it from opening the store, and with "" once it does not."""

    def __init__(self, data_dir: Path, durability: str, hindered: Callable[[str], None]) -> None:
        self._data_dir = data_dir
        self._durability = durability
        self._hindered = hindered
        self._sock: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """The descriptor for the journal. Raises StoreFailed and StoreEnded."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._process = subprocess.Popen(
            command("emqx_mgmt.storage.messages.process", str(theirs.fileno()), str(self._data_dir), self._durability),
            stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment())
        theirs.close()
        self._sock = ours
        self._hear_ready(ours)
        log.debug("Message store opened in %s, by process %d", self._data_dir, self._process.pid)
        return ours.fileno()

    def _hear_ready(self, sock: socket.socket) -> None:
        while True:
            length, kind, _ = ANSWER.unpack(self._receive(sock, ANSWER.size))
            text = self._receive(sock, length).decode()
            if kind == READY:
                self._hindered("")
                return
            if kind == FAILED:
                raise StoreFailed(text)
            if kind == FULL:
                self._hindered(f"The message store cannot be opened: {text}")

    @staticmethod
    def _receive(sock: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = sock.recv(size - len(data))
            if not more:
                raise StoreEnded
            data += more
        return data

    def close(self, journal: Journal, within: float = 10.0) -> bool:
        """Writes what the journal still has, and waits until it is on disk; False when that took too long."""
        if self._sock is None or self._process is None:
            return True
        with gevent.Timeout(within, False):
            while journal.pending:
                journal.flush_now()
                gevent.sleep(0.005)
            self._sock.shutdown(socket.SHUT_WR)
            self._process.wait()
        self._sock.close()
        self._sock = None
        return self._process.returncode == 0
