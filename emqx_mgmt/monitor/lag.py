"""How late the loop is: the time for which nobody was served."""

from __future__ import annotations

import time

import gevent

from emqx_mgmt.broker.loop.periodic import Background

PROBE_S = 0.25


class HubLag(Background):
    """Sleeps a little, over and over, and notes how much longer it took."""

    def __init__(self) -> None:
        super().__init__()
        self._worst = 0.0

    def worst(self) -> float:
        """Milliseconds, the most since it was last asked."""
        worst, self._worst = self._worst, 0.0
        return worst * 1000

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            gevent.sleep(PROBE_S)
            self._worst = max(self._worst, time.monotonic() - began - PROBE_S)
