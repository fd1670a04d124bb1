"""Rates of the last hour by second, and of the last seven days by minute.

Seconds are collected and written once a minute, in one transaction with their mean and with the deletion of old rows. A
crash loses up to a minute.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent

from emqx_mgmt.broker.telemetry.rates import GROWTH, Sample
from emqx_mgmt.storage.transaction import transaction

if TYPE_CHECKING:
    from emqx_mgmt.storage.transaction import Run

SECOND, MINUTE = 1, 60
KEPT_S = {SECOND: 3600, MINUTE: 7 * 24 * 3600}
COLUMNS = Sample.__struct_fields__

log = logging.getLogger(__name__)


class RateHistory:
    """Samples of seconds, collected and written together, and the means of minutes."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._collected: list[Sample] = []
        self._being_written: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Adds the sample of a second. Never waits for the disk; while a write takes longer than a minute, samples are
        collected, as many as are kept."""
        if self._collected and sample.ts // MINUTE != self._collected[0].ts // MINUTE and not self._being_written:
            self._being_written, self._collected = self._collected, []
            gevent.spawn(self._write)
        self._collected.append(sample)
        del self._collected[: -KEPT_S[SECOND]]

    def _write(self) -> None:
        try:
            self._run(put, self._being_written)
        except sqlite3.Error as error:
            log.warning("The rates of a minute are not in the history: %s", error)
        finally:
            self._being_written = []    # else no other minute would be written

    def close(self) -> None:
        """Writes those that were collected."""
        if self._collected:
            self._being_written, self._collected = self._collected, []
            self._write()

    def between(self, period: int, first: int, last: int) -> list[Sample]:
        """By time; `period` is SECOND or MINUTE, `first` and `last` are unix seconds."""
        not_written = [*self._being_written, *self._collected]
        if period == MINUTE:
            not_written = minutes(not_written)
        rows = {sample.ts: sample for sample in self._run(select, period, first, last)}
        rows.update((sample.ts, sample) for sample in not_written if first <= sample.ts <= last)
        return [rows[ts] for ts in sorted(rows)]


def minutes(seconds: Sequence[Sample]) -> list[Sample]:
    """The mean of each minute, under the time at which it begins."""
    by_minute: dict[int, list[Sample]] = {}
    for sample in seconds:
        by_minute.setdefault(sample.ts // MINUTE * MINUTE, []).append(sample)
    return [
        Sample(begin, **{name: round(sum(getattr(one, name) for one in of) / len(of), 1) for name in GROWTH},
               connections=of[-1].connections, subscriptions=of[-1].subscriptions)
        for begin, of in by_minute.items()
    ]


def put(connection: sqlite3.Connection, seconds: list[Sample]) -> None:
    """Writes the samples, and removes those that are too old."""
    now = seconds[-1].ts
    places = ", ".join("?" * (1 + len(COLUMNS)))
    with transaction(connection):
        for period, samples in ((SECOND, seconds), (MINUTE, minutes(seconds))):
            connection.executemany(f"INSERT OR REPLACE INTO rate VALUES ({places})", [
                (period, *(getattr(one, name) for name in COLUMNS)) for one in samples
            ])
            # What lies ahead was written before the clock was set back: it would never be too old.
            connection.execute("DELETE FROM rate WHERE period = ? AND (ts <= ? OR ts > ?)",
                               (period, now - KEPT_S[period], now))


def select(connection: sqlite3.Connection, period: int, first: int, last: int) -> list[Sample]:
    """By time; both ends are included."""
    rows = connection.execute("SELECT * FROM rate WHERE period = ? AND ts BETWEEN ? AND ? ORDER BY ts",
                              (period, first, last))
    return [Sample(*tuple(row)[1:]) for row in rows]
