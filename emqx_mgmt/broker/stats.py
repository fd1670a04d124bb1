"""Gauges with their high-water marks: the 18 names of "Statistics of connected session"."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker

NAMES = ("connections", "sessions", "sessions/persistent", "topics", "subscribers", "subscriptions",
         "subscriptions/shared", "routes", "retained")


class Stats:
    """`touch()` is called when something may have reached a new height, and with every tick."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._highest = dict.fromkeys(NAMES, 0)

    def current(self) -> dict[str, int]:
        engine = self._broker.engine
        router = engine.router.counts
        return {
            "connections": self._broker.online,
            "sessions": len(engine.sessions),
            "sessions/persistent": sum(not session.clean_start for session in engine.sessions.values()),
            "topics": router.topics,
            "subscribers": router.subscribers,
            "subscriptions": router.subscriptions,
            "subscriptions/shared": router.shared,
            "routes": router.topics,
            "retained": 0 if engine.retained is None else len(engine.retained),
        }

    def touch(self) -> dict[str, int]:
        current, highest = self.current(), self._highest
        for name, value in current.items():
            if value > highest[name]:
                highest[name] = value
        return current

    def rows(self) -> dict[str, int]:
        """`<name>/count` and `<name>/max` for each."""
        current = self.touch()
        rows = {f"{name}/count": value for name, value in current.items()}
        rows.update((f"{name}/max", value) for name, value in self._highest.items())
        return rows
