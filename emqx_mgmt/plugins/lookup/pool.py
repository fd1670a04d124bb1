"""A bounded pool of connections to one back-end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from gevent.lock import BoundedSemaphore

Connection = TypeVar("Connection")
Result = TypeVar("Result")

# A connection that was idle for so long may have been ended by the back-end or by a firewall.
FRESH_S = 30.0


class PoolExhausted(Exception):
    """Every connection stayed in use for as long as the caller could wait."""


class Pool(Generic[Connection]):
    """At most `size` connections. The one that was used last is used next.

    `connect()` makes a connection, `close(connection)` ends one and raises nothing. `is_lost(error)` says whether an
    error means that the back-end had ended the connection, rather than answering with an error or too late. A caller
    waits `wait` seconds for a connection.

    A connection is closed after any exception, also after a `gevent.Timeout` in the middle of an answer: otherwise, the
    next question would get the answer of the last one.
    """

    def __init__(self, connect: Callable[[], Connection], close: Callable[[Connection], object],
                 is_lost: Callable[[Exception], bool], size: int, wait: float = 1.0) -> None:
        self._connect = connect
        self._close = close
        self._is_lost = is_lost
        self._places = BoundedSemaphore(size)
        self._idle: list[tuple[Connection, float]] = []
        self._is_closed = False
        self.size = size
        self.wait = wait
        self.in_use = 0

    def run(self, ask: Callable[[Connection], Result]) -> Result:
        """The result of `ask(connection)`. Where an idle connection proves lost, `ask` is called once more with a new
        one.

        Raises PoolExhausted, and whatever `connect` and `ask` raise.
        """
        if not self._places.acquire(timeout=self.wait):
            raise PoolExhausted(f"all {self.size} connections are in use")
        self.in_use += 1
        try:
            connection = self._take_idle()
            if connection is not None:
                try:
                    return self._use(connection, ask)
                except Exception as error:
                    if not self._is_lost(error):
                        raise
                    self._close_idle()  # a back-end that has restarted has ended all of them
            return self._use(self._connect(), ask)
        finally:
            self.in_use -= 1
            self._places.release()

    def _take_idle(self) -> Connection | None:
        stale = time.monotonic() - FRESH_S
        while self._idle:
            connection, since = self._idle.pop()
            if since > stale:
                return connection
            self._close(connection)
        return None

    def _use(self, connection: Connection, ask: Callable[[Connection], Result]) -> Result:
        try:
            result = ask(connection)
        except BaseException:
            self._close(connection)
            raise
        if self._is_closed:
            self._close(connection)
        else:
            self._idle.append((connection, time.monotonic()))
        return result

    def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            self._close(connection)

    def close(self) -> None:
        """Ends the idle connections now, and those in use as soon as they have their answers."""
        self._is_closed = True
        self._close_idle()
