"""How late the loop is: the time for which nobody was served."""

from __future__ import annotations

import time

import gevent

PROBE_S = 0.25


class HubLag:
    """Sleeps a little, over and over, and notes how much longer it took."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def worst(self) -> float:
        """Milliseconds, the most since it was last asked."""
        worst, self._worst = self._worst, 0.0
        return worst * 1000

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            gevent.sleep(PROBE_S)
            self._worst = max(self._worst, time.monotonic() - began - PROBE_S)
