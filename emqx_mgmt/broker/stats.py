"""Gauges with their high-water marks: the 18 names of "Statistics of connected session"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker

CLIENTS = ("connections", "sessions", "sessions/persistent")
TABLE = ("topics", "subscribers", "subscriptions", "subscriptions/shared", "routes")
RETAINED = ("retained",)


class Stats:
    """Marks are raised where their gauges grow: at a connection, at a subscription, and for the rest with each tick."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._highest = dict.fromkeys(CLIENTS + TABLE + RETAINED, 0)

    def clients_grew(self) -> None:
        """Called with each connection: most of them raise nothing."""
        highest, (connections, sessions, persistent) = self._highest, self._clients()
        if (connections > highest["connections"] or sessions > highest["sessions"]
                or persistent > highest["sessions/persistent"]):
            self._raise(CLIENTS, (connections, sessions, persistent))

    def table_grew(self) -> None:
        self._raise(TABLE, self._table())

    def rows(self) -> dict[str, int]:
        """`<name>/count` and `<name>/max` for each."""
        current = self._clients() + self._table() + self._retained()
        self._raise(CLIENTS + TABLE + RETAINED, current)
        rows = {f"{name}/count": value for name, value in zip(self._highest, current, strict=True)}
        rows.update((f"{name}/max", value) for name, value in self._highest.items())
        return rows

    def _raise(self, names: tuple[str, ...], values: tuple[int, ...]) -> None:
        highest = self._highest
        for name, value in zip(names, values, strict=True):
            if value > highest[name]:
                highest[name] = value

    def _clients(self) -> tuple[int, ...]:
        broker = self._broker
        return broker.online, len(broker.engine.sessions), broker.sessions_life.persistent

    def _table(self) -> tuple[int, ...]:
        counts = self._broker.engine.router.counts
        return counts.topics, counts.subscribers, counts.subscriptions, counts.shared, counts.topics

    def _retained(self) -> tuple[int, ...]:
        store = self._broker.engine.retained
        return (0 if store is None else len(store),)

    def tick(self) -> None:
        self._raise(RETAINED, self._retained())
