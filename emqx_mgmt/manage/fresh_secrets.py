"""Secrets of new applications, kept for a while, because EMQ X's dashboards request a secret again before they show
it."""

from __future__ import annotations

import time
from collections.abc import Callable

SHOWN_FOR_S = 600.0


class FreshSecrets:
    """In memory only. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, tuple[str, float]] = {}

    def put(self, app_id: str, secret: str) -> None:
        """The secret can be read from now on, for `SHOWN_FOR_S`."""
        self._forget_old()
        self._until[app_id] = secret, self._clock() + SHOWN_FOR_S

    def get(self, app_id: str) -> str | None:
        """None once its time is over."""
        self._forget_old()
        secret, _ = self._until.get(app_id, (None, 0.0))
        return secret

    def drop(self, app_id: str) -> None:
        """The application was deleted."""
        self._until.pop(app_id, None)

    def _forget_old(self) -> None:
        now = self._clock()
        self._until = {app_id: kept for app_id, kept in self._until.items() if kept[1] > now}
