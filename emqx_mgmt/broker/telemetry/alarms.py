"""Alarms (behaviour, section 9)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct


class Alarm(Struct, frozen=True):
    """`severity` is notice, warning, error or critical; `ts` is when it was raised, unix seconds."""

    id: str
    severity: str
    title: str
    summary: str
    ts: int


class Cleared(Struct, frozen=True):
    """What is published when an alarm is cleared; `ts` in unix seconds."""

    id: str
    ts: int


class Alarms:
    """The alarms that are present, newest first. Each change is published below `$SYS`.

    `publish(topic, payload)` sends a message below the node's own `$SYS` prefix; `remember(alarm, ts)` stores a cleared
    alarm, and may switch greenlets; `changed(alarm, raised)` is called for both."""

    def __init__(self, publish: Callable[[str, bytes], object], remember: Callable[[Alarm, int], None],
                 changed: Callable[[Alarm, bool], None]) -> None:
        self._publish = publish
        self._remember = remember
        self._changed = changed
        self._present: dict[str, Alarm] = {}

    def present(self) -> list[Alarm]:
        """Newest first."""
        return list(reversed(self._present.values()))

    def stands(self, alarm_id: str) -> bool:
        """Whether the alarm is present."""
        return alarm_id in self._present

    def set(self, alarm: Alarm) -> None:
        """Raises the alarm. Nothing happens while one of the same id is present."""
        if alarm.id not in self._present:
            self._present[alarm.id] = alarm
            self._publish(f"alarms/{alarm.id}/alert", msgspec.json.encode(alarm))
            self._changed(alarm, True)

    def clear(self, alarm_id: str, now: int) -> None:
        """Clears the alarm at `now`, unix seconds. Nothing happens when it is not present. May switch greenlets."""
        alarm = self._present.pop(alarm_id, None)
        if alarm is not None:
            self._publish(f"alarms/{alarm_id}/clear", msgspec.json.encode(Cleared(alarm_id, now)))
            self._changed(alarm, False)
            self._remember(alarm, now)
