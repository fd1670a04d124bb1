"""Plugins that say who may connect, as operators see them: what they were asked, and whom they would let in."""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from emqx_mgmt.broker.auth.client import DEFAULT_ZONE, Client, Grant, Ruling, Unavailable
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule, deciding
from emqx_mgmt.broker.telemetry.alarms import Alarm
from emqx_mgmt.plugins.lookup.statistics import Shown, Statistics
from emqx_mgmt.plugins.plugin import Figure, Plugin, Route

if TYPE_CHECKING:
    from emqx_mgmt.plugins.host import Host

# The socket address of nobody in particular on this machine.
LOCAL = bytes((socket.AF_INET, 0, 0, 0, 127, 0, 0, 1))
Answer = bool | Grant | Unavailable | None


class BackendFailed(Exception):
    """The back-end gave no answer: it cannot be reached, is late, or refuses. The text has no secrets."""


class Status(Struct):
    """`breaker` is closed while the back-end answers; `pool_in_use` of `pool_size` connections."""

    breaker: str
    pool_size: int
    pool_in_use: int
    lookups: Shown


class Trial(Struct):
    """Whom to try, without connecting. With a topic the ACL is asked as well; `access` is publish or subscribe."""

    client_id: Annotated[str, Meta(min_length=1)]
    username: str | None = None
    password: str | None = None
    topic: str | None = None
    access: str = "publish"


class Tried(Struct):
    """`verdict`, and `acl` where a topic was given: allow, deny, ignore (the next module decides) or unavailable."""

    verdict: str
    is_superuser: bool
    ms: float
    reason: str = ""
    acl: str | None = None
    rule: str = ""


class AuthPlugin(Plugin):
    """`driver` is the module that it needs, and `extra` the extra of this package that brings it. `summary` is of the
    alarm that stands while the back-end does not answer: the plugin's name is put into it, and the reason behind it."""

    driver: ClassVar[str]
    extra: ClassVar[str]
    summary: ClassVar[str]
    pool_size = 0

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.statistics = Statistics()

    @abstractmethod
    def decide(self, client: Client) -> Answer:
        """Of a log-in, by the back-end and not by what is remembered."""

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        """What the back-end's rules say; None: nothing. Raises BackendFailed."""
        return None

    def import_driver(self) -> ModuleType:
        """Drivers are extras: most installations need one of them, or none. Raises ValueError, as a sentence."""
        try:
            return import_module(self.driver)
        except ImportError as error:
            raise ValueError(f"{self.name} needs a driver that is not installed ({error}): "
                             f"pip install 'emqx-mgmt[{self.extra}]'") from None

    @property
    def is_down(self) -> bool:
        return False

    @property
    def pool_in_use(self) -> int:
        return 0

    def counted(self, answer: Answer) -> Answer:
        """Of a log-in that is not a trial."""
        self.statistics.outcomes[word_of(answer)] += 1
        return answer

    def show_down(self, is_down: bool) -> None:
        """Raises the alarm, or clears it."""
        identifier, now = f"auth_backend_down/{self.name}", int(time.time())
        if not is_down:
            self.host.services.alarms.clear(identifier, now)
            return
        summary = f"{self.summary.format(self.name)}: {self.statistics.last_error}"
        self.host.services.alarms.set(Alarm(identifier, "critical", "authentication back-end down", summary, now))

    def routes(self) -> Sequence[Route]:
        base, name = f"/plugins/{self.name}", self.name.removeprefix("emqx_")
        return (
            Route(f"{name}_status", "GET", f"{base}/status", f"What {self.name} asked, and how its back-end is",
                  self.status, listed=False),
            Route(f"{name}_test", "POST", f"{base}/test", f"Whom {self.name} would let in, and by which rule",
                  self.test, takes=Trial, listed=False),
        )

    def status(self) -> Status:
        return Status("open" if self.is_down else "closed", self.pool_size, self.pool_in_use, self.statistics.shown())

    def figures(self) -> Iterable[Figure]:
        """What the status shows, for Prometheus."""
        shown = self.statistics.shown()
        yield Figure("auth_lookups_total", "Questions to the back-end of a plugin.", shown.asked)
        for outcome in ("allowed", "denied", "ignored", "unavailable"):
            yield Figure("auth_decisions_total", "Log-ins that a plugin was asked about, by outcome.",
                         getattr(shown, outcome), (("outcome", outcome),))
        yield Figure("auth_cached_total", "Log-ins that a plugin let in without a question.", shown.cached)
        for quantile, value in (("0.5", shown.p50_ms), ("0.99", shown.p99_ms)):
            if value is not None:
                yield Figure("auth_lookup_seconds", "How long the latest thousand questions took.", value / 1000,
                             (("quantile", quantile),), is_counter=False)
        yield Figure("auth_pool_in_use", "Connections to the back-end that are in use.", self.pool_in_use,
                     is_counter=False)
        yield Figure("auth_backend_up", "0 while the back-end does not answer.", int(not self.is_down),
                     is_counter=False)

    def test(self, params: Trial) -> Tried:
        """The back-end is asked anew: what is remembered does not count."""
        client = Client(params.client_id, params.username, LOCAL, DEFAULT_ZONE,
                        password=None if params.password is None else params.password.encode())
        began = time.monotonic()
        verdict = self.decide(client)
        took = round((time.monotonic() - began) * 1000, 3)
        reason = verdict.why if isinstance(verdict, Unavailable) else ""
        client.is_super = isinstance(verdict, Grant) and verdict.is_super
        acl, rule = self._test_acl(client, verdict.rules if isinstance(verdict, Grant) else (), params)
        return Tried(TESTED[word_of(verdict)], client.is_super, took, reason, acl, rule)

    def _test_acl(self, client: Client, granted: Sequence[TopicRule], params: Trial) -> tuple[str | None, str]:
        if params.topic is None:
            return None, ""
        if client.is_super:
            return "allow", "super user"
        access = SUBSCRIBE if params.access == "subscribe" else PUBLISH
        own = deciding(granted, client, access, params.topic)
        try:
            ruling = Ruling(own.allow, own.source) if own else self.rule(client, access, params.topic)
        except BackendFailed as failed:
            return "unavailable", str(failed)
        return ("ignore", "") if ruling is None else ("allow" if ruling.allow else "deny", ruling.source)


TESTED = {"allowed": "allow", "denied": "deny", "ignored": "ignore", "unavailable": "unavailable"}


def word_of(answer: Answer) -> str:
    if isinstance(answer, Unavailable):
        return "unavailable"
    if answer is None:
        return "ignored"
    return "allowed" if answer else "denied"
