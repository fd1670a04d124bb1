"""Certificates that have expired or expire soon: a line of the log each day, and an alarm."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from emqx_mgmt.broker.telemetry.alarms import Alarm, Alarms

if TYPE_CHECKING:
    from emqx_mgmt.listeners import Listener

log = logging.getLogger(__name__)

EXPIRES_SOON, EXPIRED = "certificate_expires_soon", "certificate_expired"
ALARMS = ((EXPIRES_SOON, "warning", "Certificate expires soon"), (EXPIRED, "critical", "Certificate expired"))
AGAIN_S = 86_400.0


class Certificates:
    """Watches the certificates of `listeners()`, from `notice` seconds before they expire."""

    def __init__(self, alarms: Alarms, listeners: Callable[[], Sequence[Listener]], notice: float) -> None:
        self._alarms = alarms
        self._listeners = listeners
        self._notice = notice
        self._logged: dict[tuple[str, str, float], float] = {}

    def look(self, now: float) -> None:
        """Raises and clears the alarms; `now` is unix seconds. May switch greenlets when an alarm is cleared."""
        found: dict[str, list[str]] = {EXPIRES_SOON: [], EXPIRED: []}
        for listener in self._listeners():
            until = listener.tls.valid_until if listener.tls else None
            if until is not None and until - now <= self._notice:
                alarm_id = EXPIRED if until <= now else EXPIRES_SOON
                found[alarm_id].append(self._sentence(listener, until, now))
                self._log((alarm_id, listener.identity, until), found[alarm_id][-1], now)
        for alarm_id, severity, title in ALARMS:
            self._raise(Alarm(alarm_id, severity, title, "; ".join(found[alarm_id]), int(now)))

    @staticmethod
    def _sentence(listener: Listener, until: float, now: float) -> str:
        assert listener.tls is not None
        at = datetime.fromtimestamp(until, UTC).isoformat()
        verb = f"expired at {at}: clients refuse it" if until <= now else f"expires at {at}"
        return f"the certificate of {listener}, {listener.tls.certfile}, {verb}"

    def _log(self, what: tuple[str, str, float], sentence: str, now: float) -> None:
        if now - self._logged.get(what, 0.0) >= AGAIN_S:
            self._logged[what] = now
            write = log.error if what[0] == EXPIRED else log.warning
            write(f"T{sentence[1:]}.")

    def _raise(self, alarm: Alarm) -> None:
        if alarm.summary:
            self._alarms.set(alarm)
        else:
            self._alarms.clear(alarm.id, alarm.ts)
