"""Gauges and their high-water marks: the 18 names of EMQ X's statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.broker.sessions import Sessions
    from router_ext.engine.engine import Engine
    from router_ext.routing.router import Counts

CLIENTS = ("connections", "sessions", "sessions/persistent")
TABLE = ("topics", "subscribers", "subscriptions", "subscriptions/shared", "routes")
RETAINED = ("retained",)


class Stats:
    """A mark is raised when its gauge grows: those of clients at a connect, that of retained messages with each tick.
    The table of subscriptions keeps its own."""

    def __init__(self, engine: Engine, sessions: Sessions) -> None:
        self._engine = engine
        self._sessions = sessions
        self._highest = dict.fromkeys(CLIENTS + RETAINED, 0)

    def clients_grew(self) -> None:
        """A client has connected. Most calls raise no mark."""
        sessions, highest = self._sessions, self._highest
        if (sessions.online > highest["connections"] or len(self._engine.sessions) > highest["sessions"]
                or sessions.persistent > highest["sessions/persistent"]):
            self._raise(CLIENTS, self._clients())

    def rows(self) -> dict[str, int]:
        """`<name>/count` and `<name>/max` for each."""
        clients, retained, router = self._clients(), self._retained(), self._engine.router
        self._raise(CLIENTS + RETAINED, clients + retained)
        names = CLIENTS + TABLE + RETAINED
        highest = self._highest | dict(zip(TABLE, of_table(router.most), strict=True))
        rows = {f"{name}/count": value
                for name, value in zip(names, clients + of_table(router.counts) + retained, strict=True)}
        rows.update((f"{name}/max", highest[name]) for name in names)
        return rows

    def _raise(self, names: tuple[str, ...], values: tuple[int, ...]) -> None:
        highest = self._highest
        for name, value in zip(names, values, strict=True):
            if value > highest[name]:
                highest[name] = value

    def _clients(self) -> tuple[int, ...]:
        return self._sessions.online, len(self._engine.sessions), self._sessions.persistent

    def _retained(self) -> tuple[int, ...]:
        store = self._engine.retained
        return (0 if store is None else len(store),)

    def tick(self) -> None:
        """Raises the mark of retained messages."""
        self._raise(RETAINED, self._retained())


def of_table(counts: Counts) -> tuple[int, ...]:
    """Counts in the order of TABLE."""
    return counts.topics, counts.subscribers, counts.subscriptions, counts.shared, counts.topics
