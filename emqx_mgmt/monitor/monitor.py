"""Compares what is measured with its water marks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emqx_mgmt.broker.telemetry.alarms import Alarm, Alarms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """Raised above `high`, cleared below `low`; between the two nothing changes."""

    alarm_id: str
    severity: str
    title: str
    unit: str
    measure: Callable[[], float]
    high: float
    low: float

    def summary(self, value: float) -> str:
        return f"{self.title} is {value:.1f}{self.unit}, above {self.high:g}{self.unit}"


class Monitor:
    def __init__(self, alarms: Alarms, watches: Sequence[Watch]) -> None:
        self._alarms = alarms
        self._watches = watches

    def check(self, now: int) -> None:
        """`now` is unix seconds. May switch greenlets when an alarm is cleared."""
        for watch in self._watches:
            value = watch.measure()
            log.debug("%s is %.1f%s", watch.title, value, watch.unit)
            if value > watch.high:
                self._alarms.set(Alarm(watch.alarm_id, watch.severity, watch.title, watch.summary(value), now))
            elif value < watch.low:
                self._alarms.clear(watch.alarm_id, now)
