"""Work in a greenlet of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

log = logging.getLogger(__name__)


class Background:
    """Runs `_run`, which has no end, from `start` to `stop`."""

    def __init__(self) -> None:
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Spawns the greenlet."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Kills it; `start` may be called again."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self) -> None:
        raise NotImplementedError


class Periodic(Background):
    """Calls `work`, which may switch greenlets, and again `seconds` after it has returned. Exceptions are logged."""

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        super().__init__()
        self._seconds = seconds
        self._work = work

    def _run(self) -> None:
        while True:
            gevent.sleep(self._seconds)
            try:
                self._work()
            except Exception:
                log.exception("A periodic task failed; it will be tried again")
