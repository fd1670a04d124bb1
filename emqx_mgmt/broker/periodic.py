"""Something done again and again, in a greenlet of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

log = logging.getLogger(__name__)


class Periodic:
    """Calls `work`, which may switch greenlets, `seconds` after it last returned; what it raises is logged."""

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        self._seconds = seconds
        self._work = work
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self) -> None:
        while True:
            gevent.sleep(self._seconds)
            try:
                self._work()
            except Exception:
                log.exception("a periodic task failed; it will be tried again")
