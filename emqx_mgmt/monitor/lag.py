"""The delay of the event loop."""

from __future__ import annotations

import time
from collections import deque

import gevent

from emqx_mgmt.broker.loop.periodic import Background

PROBE_S = 0.25
RECENT = 40     # probes in ten seconds


class HubLag(Background):
    """Sleeps repeatedly, and measures by how much each sleep was too long."""

    def __init__(self) -> None:
        super().__init__()
        self._worst = 0.0
        self._latest: deque[float] = deque(maxlen=RECENT)

    def recent(self) -> float:
        """Milliseconds, the most in the last ten seconds."""
        return round(max(self._latest, default=0.0) * 1000, 1)

    def worst(self) -> float:
        """Milliseconds, the most since the last call."""
        worst, self._worst = self._worst, 0.0
        return worst * 1000

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            gevent.sleep(PROBE_S)
            late = max(0.0, time.monotonic() - began - PROBE_S)
            self._worst = max(self._worst, late)
            self._latest.append(late)
