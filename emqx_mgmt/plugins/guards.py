"""Guards: plugins that decide about clients. While one is to run and does not, its decisions are refusals or wait.

Without this, a guard that cannot be loaded would leave its decisions to the rest of the chain and at last to
`allow_anonymous` and `acl_nomatch`, which let everybody in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.client import Unavailable
from emqx_mgmt.broker.telemetry.alarms import Alarm

if TYPE_CHECKING:
    from emqx_mgmt.broker.hooks import Hooks
    from emqx_mgmt.broker.telemetry.alarms import Alarms

# The points of the hooks at which a client, or what it asks for, may be refused.
POINTS = ("client.authenticate", "client.check_acl", "client.subscribe")
# What stands in comes before every other handler: nobody knows which of them the missing one would have come before. In
# `client.subscribe`, where each handler gets what the one before it returned, it has the last word.
FIRST = 1 << 30
PRIORITIES = {"client.authenticate": FIRST, "client.check_acl": FIRST, "client.subscribe": -FIRST}


@dataclass(slots=True, frozen=True)
class Vacancy:
    """A guard that is missing: why, and what stands in for it, by point."""

    why: str
    standins: dict[str, Callable[..., Any]]


class Guards:
    def __init__(self, hooks: Hooks, alarms: Alarms) -> None:
        self._hooks = hooks
        self._alarms = alarms
        self._vacancies: dict[str, Vacancy] = {}

    def missing(self, name: str, points: Sequence[str], why: str) -> None:
        """The plugin is to run and does not: what it might decide at `points` is refused until `arrived`."""
        if not points:
            return
        self._take_away(name)
        standins = {point: _refusing(point, f"the plugin {name} is not loaded") for point in points}
        self._vacancies[name] = Vacancy(why, standins)
        for point, standin in standins.items():
            self._hooks.add(point, standin, PRIORITIES[point])
        self._alarms.set(Alarm(_alarm_of(name), "critical", "Guard not loaded",
                               f"Clients are refused because the plugin {name} is not loaded: {why}", int(time.time())))

    def arrived(self, name: str) -> None:
        """The plugin runs, or is no longer to run."""
        self._take_away(name)
        self._alarms.clear(_alarm_of(name), int(time.time()))

    def _take_away(self, name: str) -> None:
        vacancy = self._vacancies.pop(name, None)
        if vacancy is not None:
            for point, standin in vacancy.standins.items():
                self._hooks.remove(point, standin)

    def complaints(self) -> list[str]:
        """A sentence for each guard that is missing."""
        return [f"plugin {name}, which decides about clients, is not loaded: {vacancy.why}"
                for name, vacancy in self._vacancies.items()]

    @contextmanager
    def held(self, points: Sequence[str]) -> Iterator[None]:
        """Decisions at these points wait meanwhile, up to their deadline."""
        for point in points:
            self._hooks.hold(point)
        try:
            yield
        finally:
            for point in points:
                self._hooks.release(point)


def _refusing(point: str, why: str) -> Callable[..., Any]:
    if point == "client.subscribe":
        return lambda codes, *_asked: [reasons.UNSPECIFIED_ERROR] * len(codes)
    return lambda *_asked: Unavailable(why)


def _alarm_of(name: str) -> str:
    return f"guard_not_loaded/{name}"
