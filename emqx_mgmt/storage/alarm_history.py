"""The latest alarms that were cleared."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from emqx_mgmt.broker.telemetry.alarms import Alarm

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run

MOST = 1000

log = logging.getLogger(__name__)


class AlarmHistory:
    """Alarms that were cleared, the latest `MOST` of them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def all(self) -> list[tuple[Alarm, int]]:
        """The alarms, newest first, each with the unix time at which it was cleared."""
        return [
            (
                Alarm(row["alarm_id"], row["severity"], row["title"], row["summary"], row["raised_at"]),
                row["cleared_at"],
            )
            for row in self._run(select)
        ]

    def add(self, alarm: Alarm, cleared_at: int) -> None:
        """Adds an alarm. Errors of the disk are logged: a full disk may be what the alarm was about."""
        try:
            self._run(insert, alarm, cleared_at)
        except sqlite3.Error as error:
            log.warning("The alarm %s is not in the history: %s", alarm.id, error)


def select(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All rows, newest first."""
    return connection.execute("SELECT * FROM alarm_history ORDER BY rowid DESC").fetchall()


def insert(connection: sqlite3.Connection, alarm: Alarm, cleared_at: int) -> None:
    """Adds one and removes those beyond `MOST`."""
    connection.execute(
        "INSERT INTO alarm_history (alarm_id, severity, title, summary, raised_at, cleared_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (alarm.id, alarm.severity, alarm.title, alarm.summary, alarm.ts, cleared_at),
    )
    connection.execute("DELETE FROM alarm_history WHERE rowid <= (SELECT max(rowid) FROM alarm_history) - ?", (MOST,))
