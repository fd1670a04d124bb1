"""Compares measurements with their watermarks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from emqx_mgmt.broker.telemetry.alarms import Alarm, Alarms

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watermark:
    """An alarm that is raised while `measure()` is above `high`, and cleared below `low`, in `unit`s."""

    alarm_id: str
    severity: str
    title: str
    unit: str
    measure: Callable[[], float]
    high: float
    low: float

    def summary(self, value: float) -> str:
        """The sentence of the alarm."""
        return f"{self.title} is {value:.1f}{self.unit}, above {self.high:g}{self.unit}"


class Monitor:
    """Raises and clears the alarms of the watermarks."""

    def __init__(self, alarms: Alarms, watermarks: Sequence[Watermark]) -> None:
        self._alarms = alarms
        self._watermarks = watermarks

    def check(self, now: int) -> None:
        """Measures everything; `now` is unix seconds. May switch greenlets when an alarm is cleared."""
        for watermark in self._watermarks:
            value = watermark.measure()
            log.debug("%s is %.1f%s", watermark.title, value, watermark.unit)
            if value > watermark.high:
                self._alarms.set(Alarm(
                    watermark.alarm_id, watermark.severity, watermark.title, watermark.summary(value), now))
            elif value < watermark.low:
                self._alarms.clear(watermark.alarm_id, now)
