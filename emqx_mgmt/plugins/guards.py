"""Guards: plugins that decide about clients. While a guard should run and does not, the decisions are refusals, or they
wait.

Without this, the decisions of a guard that cannot be loaded would fall to the other handlers and finally to
`allow_anonymous` and `acl_nomatch`, which allow every client by default.
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

# The hook points at which a client or its request may be refused.
POINTS = ("client.authenticate", "client.check_acl", "client.subscribe")
# The stand-in runs before every other handler, since the place of the missing one among them is unknown. At
# `client.subscribe`, where each handler gets the result of the one before it, the stand-in runs last.
FIRST = 1 << 30
PRIORITIES = {"client.authenticate": FIRST, "client.check_acl": FIRST, "client.subscribe": -FIRST}


@dataclass(slots=True, frozen=True)
class Vacancy:
    """A missing guard: the reason, and its stand-in at each hook point."""

    why: str
    standins: dict[str, Callable[..., Any]]


class Guards:
    def __init__(self, hooks: Hooks, alarms: Alarms) -> None:
        self._hooks = hooks
        self._alarms = alarms
        self._vacancies: dict[str, Vacancy] = {}

    def missing(self, name: str, points: Sequence[str], why: str) -> None:
        """The plugin should run and does not. Decisions at `points` are refused until `arrived`."""
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
        """The plugin runs, or should no longer run."""
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
        """While the block runs, decisions at these points wait, up to their deadline."""
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
