"""The store process: `python -m emqx_mgmt.storage.messages.process <socket> <data directory> <durability>`.

The worker sends it frames (router_ext/durable/journal.pxd) over a socket pair; the process ends with the worker. One
thread commits and answers. The other one compacts commits, writes rows and reads pages, so that no acknowledgement
waits for those.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import queue
import select
import signal
import socket
import sqlite3
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from emqx_mgmt.storage.integrity import Damaged
from emqx_mgmt.storage.messages.commits import Commits, LogCopier
from emqx_mgmt.storage.messages.frames import (
    ANSWER,
    BATCH,
    COMMITTED,
    FAILED,
    FULL,
    LOAD,
    PAGE,
    READY,
    ROOM,
    SETTLED,
    SHORT,
)
from emqx_mgmt.storage.messages.reserve import Reserve
from emqx_mgmt.storage.messages.tables import FILE_NAME, JOURNAL_NAME
from emqx_mgmt.storage.messages.writer import Writer

LOCK_NAME = "messages.lock"

COMMIT_BYTES = 1 << 20       # bytes that may go into one commit, but for a larger batch
MANY_ROWS = 40_000      # rows are written when so many wait: fewer would write what is acknowledged in a moment,
OLD_ROWS = 1.0          # or when commits have waited so many seconds for it
FAR_BEHIND = 256 << 20  # bytes committed and not folded: commits wait from here on
PAUSE = 0.25            # seconds between two tries on a full disk

T = TypeVar("T")


class Gone(Exception):
    """The worker has ended."""


@contextlib.contextmanager
def until_the_worker_is_gone() -> Iterator[None]:
    """Ends quietly where the socket to the worker is closed."""
    with contextlib.suppress(Gone, BrokenPipeError, ConnectionResetError):
        yield


@contextlib.contextmanager
def whose_failure_ends_the_process() -> Iterator[None]:
    """Ends the process where a thread raises: the other thread would run on, and the worker would not learn that
    nothing is stored any more. The worker ends with the process, and the next one starts from what is on disk."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


class Worker:
    """The worker's end of the socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._reporting = threading.Lock()
        self._stuck: set[str] = set()
        self._short = ""
        self._reported = ROOM

    def receive(self, within: float) -> bytes:
        """The bytes that have arrived, up to COMMIT_BYTES; b"" when none came within that many seconds. Raises Gone."""
        if not select.select([self._sock], [], [], within)[0]:
            return b""
        data = self._sock.recv(COMMIT_BYTES)
        if not data:
            raise Gone
        return data

    def send(self, kind: int, number: int, content: bytes = b"") -> None:
        """One frame; may be called from both threads."""
        with self._sending:
            self._sock.sendall(ANSWER.pack(len(content), kind, number) + content)

    def is_gone(self) -> bool:
        """Whether the worker has ended. Bytes that it sent before may not have been read yet."""
        poll = select.poll()
        poll.register(self._sock, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def insist(self, action: Callable[[], T], shrink: Callable[[], None]) -> T:
        """Tries the action until the disk allows it, and returns its result. The worker is informed while the disk does
        not. Raises Gone when the worker has ended."""
        name = threading.current_thread().name
        while True:
            try:
                result = action()
            except sqlite3.OperationalError as error:
                with self._reporting:
                    self._stuck.add(name)
                    self._report(str(error))
                time.sleep(PAUSE)
                if self.is_gone():
                    raise Gone from None
                with contextlib.suppress(sqlite3.OperationalError):
                    shrink()
                continue
            if name in self._stuck:
                with self._reporting:
                    self._stuck.remove(name)
                    self._report(self._short)
            return result

    @property
    def is_stuck(self) -> bool:
        """Whether an action is being tried again."""
        return bool(self._stuck)

    @property
    def is_short(self) -> bool:
        """Whether the disk is short of room."""
        return bool(self._short)

    def be_short(self, text: str) -> None:
        """`text` says why publishers may not use the rest of the disk; "": they may."""
        if text != self._short:
            with self._reporting:
                self._short = text
                self._report(text)

    def _report(self, text: str) -> None:
        kind = FULL if self._stuck else SHORT if self._short else ROOM
        if kind != self._reported:
            self._reported = kind
            self.send(kind, 0, text.encode())


class Folding(threading.Thread):
    """The second thread: takes commits and requests in their order. `done` is the last commit that is in the rows."""

    def __init__(self, worker: Worker, writer: Writer, log: LogCopier) -> None:
        super().__init__(name="folding")
        self._worker = worker
        self._writer = writer
        self._log = log
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._given = 0         # bytes, written by the thread that gives
        self._taken = 0         # and by this one,
        self._settled = 0       # as far as they are in the rows
        self.done = writer.done

    def give(self, number: int, data: bytes) -> None:
        """A commit: its number and its batches."""
        self._given += len(data)
        self._work.put(partial(self._fold, number, data))

    def ask_page(self, sid: int, after: int, limit: int, in_flight: bool) -> None:
        """Sends the worker a page of a session's queue."""
        self._work.put(partial(self._read, sid, after, limit, in_flight))

    def ask_to_settle(self) -> None:
        """Answers the worker once everything given before is in the rows."""
        self._work.put(self._settle_and_tell)

    def give_back(self) -> None:
        """Writes pending rows and returns unused pages and logs to the disk. Returns once that is done, or cannot
        be."""
        done = threading.Event()
        self._work.put(partial(self._give_back, done))
        while not done.wait(PAUSE) and self.is_alive() and not self._worker.is_stuck:
            pass

    def finish(self) -> None:
        """Writes all pending rows, if the disk allows it."""
        self._work.put(None)
        self.join()

    @property
    def behind(self) -> int:
        """Bytes that were given and are not compacted."""
        return self._given - self._taken

    @property
    def pending(self) -> int:
        """Bytes of commits that are not in the rows."""
        return self._given - self._settled

    def run(self) -> None:
        """The thread."""
        with whose_failure_ends_the_process():
            with until_the_worker_is_gone():    # what has no rows then is in the journal
                self._serve()
            self._writer.close()

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=OLD_ROWS / 4)
            except queue.Empty:
                self._settle() if self._writer.age else self._tidy_up()
                continue
            if work is None:
                self._settle()
                return
            work()

    def _fold(self, number: int, data: bytes) -> None:
        self._writer.take(number, data)
        self._taken += len(data)
        self._log.grew(len(data))
        if self._writer.rows > MANY_ROWS or self._writer.age > OLD_ROWS:
            self._settle()
        self._insist(self._log.look)

    def _read(self, sid: int, after: int, limit: int, in_flight: bool) -> None:
        page = self._insist(lambda: self._writer.page(sid, after, limit, in_flight))
        self._note()
        self._worker.send(PAGE, sid, page)

    def _settle_and_tell(self) -> None:
        self._settle()
        self._worker.send(SETTLED, 0)

    def _settle(self) -> None:
        self._insist(self._writer.settle)
        self._note()

    def _note(self) -> None:
        """Notes what is in the rows."""
        self.done = self._writer.done
        if not self._writer.age:
            self._settled = self._taken

    def _tidy_up(self) -> None:
        with contextlib.suppress(sqlite3.OperationalError):     # a full disk: nothing has to be tidied
            self._writer.tidy_up()

    def _give_back(self, done: threading.Event) -> None:
        self._settle()
        self._tidy_up()
        for shrink in (self._writer.shrink, self._log.shrink):
            with contextlib.suppress(sqlite3.OperationalError):
                shrink()
        done.set()

    def _insist(self, action: Callable[[], T]) -> T:
        return self._worker.insist(action, self._writer.shrink)


class StoreProcess:
    """The thread that commits."""

    def __init__(self, worker: Worker, commits: Commits, folding: Folding, log: LogCopier, reserve: Reserve) -> None:
        self._worker = worker
        self._commits = commits
        self._folding = folding
        self._log = log
        self._reserve = reserve
        self._gave_back = 0.0   # monotonic seconds
        self._buffer = bytearray()

    def run(self) -> None:
        """Until the worker ends or closes the socket."""
        with whose_failure_ends_the_process():
            self._folding.start()
            with until_the_worker_is_gone():
                self._worker.send(READY, 0)
                self._serve()
            self._folding.finish()
            self._close()

    def _serve(self) -> NoReturn:
        while True:
            data = self._worker.receive(OLD_ROWS / 4)
            if data:
                self._buffer += data
                self._work()
            else:
                self._insist(lambda: self._commits.forget(self._folding.done))
                self._spare_the_disk()

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
                if kind == LOAD:
                    after, limit = struct.unpack_from("<QI", content)
                    self._folding.ask_page(number, after, limit, bool(flag))
                else:
                    self._folding.ask_to_settle()
        self._commit(batches, last)

    def _commit(self, batches: list[bytes], last: int) -> None:
        if not batches:
            return
        data = b"".join(batches)
        number = self._insist(lambda: self._commits.append(data, self._folding.done))
        self._worker.send(COMMITTED, last)
        self._folding.give(number, data)
        while self._folding.behind > FAR_BEHIND and self._folding.is_alive():
            time.sleep(PAUSE / 100)
        self._spare_the_disk()

    def _spare_the_disk(self) -> None:
        """Informs publishers when the reserve is in use, unless returning unused space is enough. That is tried again
        at intervals."""
        text = self._reserve.begun(self._folding.pending)
        if text and (not self._worker.is_short or time.monotonic() - self._gave_back > PAUSE):
            self._folding.give_back()
            self._gave_back = time.monotonic()
            text = self._reserve.begun(self._folding.pending)
        self._worker.be_short(text)

    def _insist(self, action: Callable[[], T]) -> T:
        return self._worker.insist(action, self._log.shrink)

    def _close(self) -> None:
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk; the next process begins with that
            self._commits.forget(self._folding.done)
        self._log.close()
        self._commits.close()


def frames(buffer: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Takes whole frames off the front: kind, flag, number, content."""
    at = 0
    while len(buffer) - at >= 16:
        length, kind, flag, number = struct.unpack_from("<IBBxxQ", buffer, at)
        if len(buffer) - at < 16 + length:
            break
        yield kind, flag, number, bytes(buffer[at + 16:at + 16 + length])
        at += 16 + length
    del buffer[:at]


def lock(data_dir: Path) -> int:
    """Waits until the store process before this one has ended; its worker may still be stopping."""
    fd = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


def main(fd: str, directory: str, durability: str) -> None:
    """`argv`: descriptor of the socket, data directory, durability."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # it ends when its worker does
    sys.setswitchinterval(0.0005)  # the thread that commits has little to do each time, and all wait for it
    gc.disable()  # the fold holds many small objects and no cycles
    sock = socket.socket(fileno=int(fd))
    data_dir = Path(directory)
    lock(data_dir)
    path, journal = data_dir / FILE_NAME, data_dir / JOURNAL_NAME
    worker = Worker(sock)

    def recovered() -> tuple[Commits, Writer]:
        commits, writer = Commits(journal, durability), Writer(path, journal)
        writer.recover(commits.rows(writer.done))
        return commits, writer

    def give_back() -> None:
        with contextlib.closing(LogCopier(journal)) as log:
            log.shrink()

    try:
        commits, writer = worker.insist(recovered, give_back)
    except (Gone, BrokenPipeError, ConnectionResetError):
        return
    except (Damaged, ValueError, OSError, sqlite3.Error) as error:
        worker.send(FAILED, 0, str(error).encode())
        return
    log = LogCopier(journal)
    StoreProcess(worker, commits, Folding(worker, writer, log), log, Reserve(data_dir)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
