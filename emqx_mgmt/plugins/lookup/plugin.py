"""The plugins that ask a database or a service who may connect and what a client may do (behaviour, 22).

One body for all of them: the breaker, the deadline, equal questions asked once, what is remembered, what is counted,
and what operators see. A back-end says how it is asked.
"""

from __future__ import annotations

import socket
import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, TypeVar

import gevent
from msgspec import Meta, Struct

from emqx_mgmt.broker.auth.client import DEFAULT_ZONE, Client, Grant, Ruling, Unavailable
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE
from emqx_mgmt.broker.telemetry.alarms import Alarm
from emqx_mgmt.plugins.lookup.breaker import Breaker
from emqx_mgmt.plugins.lookup.memory import ExpiringMap, keyed_digest
from emqx_mgmt.plugins.lookup.pool import PoolExhausted
from emqx_mgmt.plugins.lookup.single_flight import LookupAbandoned, SingleFlight
from emqx_mgmt.plugins.lookup.statistics import Shown, Statistics
from emqx_mgmt.plugins.placeholders import values_of
from emqx_mgmt.plugins.plugin import Figure, Plugin, Route
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, FLAG, enum

if TYPE_CHECKING:
    from emqx_mgmt.plugins.host import Host

class Driven(Protocol):
    """A plugin that needs a driver: see LookupAuth."""

    name: ClassVar[str]
    driver: ClassVar[str]
    extra: ClassVar[str]


Result = TypeVar("Result")
# The socket address of nobody in particular on this machine.
LOCAL = bytes((socket.AF_INET, 0, 0, 0, 127, 0, 0, 1))
Answer = bool | Grant | Unavailable | None

MOST_REMEMBERED = 100_000
PROBE_EVERY_S = 1.0
# Of `plugins.hook_deadline`: a log-in asks two questions, and a handler that is late says nothing about the back-end.
LONGEST_QUESTION = 0.45


class BackendFailed(Exception):
    """The back-end gave no answer: it cannot be reached, is late, or refuses. The text has no secrets."""


class LateAnswer(Exception):
    """The back-end did not answer within the query timeout."""


class QuestionRefused(Exception):
    """The back-end answered that it cannot be asked this: it is there, and others can ask it. A client whose name does
    not fit a column must not open the breaker for all."""


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


def common_settings(prefix: str, query_timeout: str = "2s") -> tuple[Key, ...]:
    return (
        Key(f"{prefix}.query_timeout", DURATION_KIND, query_timeout,
            "How long an answer may take, at most 45 % of plugins.hook_deadline; a later one counts as none."),
        Key(f"{prefix}.on_unavailable", enum("deny", "ignore"), "deny",
            "What becomes of clients while there is no answer: refused (Server unavailable), or left to the next "
            "module and, at the end, to allow_anonymous and acl_nomatch."),
        Key(f"{prefix}.cache_ttl", DURATION_KIND, "0s",
            "How long a client that was let in is let in again without a question; 0s: not at all."),
    )


def dollar_users(prefix: str) -> Key:
    return Key(f"{prefix}.dollar_users", FLAG, "off",
               "Let in users whose names begin with $; the ACL is not asked about them.")


class LookupAuth(Plugin):
    """`prefix` begins the settings' keys. `driver` is the module that speaks to the back-end, `imported` once it is
    loaded, and `extra` the extra of this package that brings it. `other_timeout` is a setting that EMQ X has in
    place of query_timeout."""

    prefix: ClassVar[str]
    driver: ClassVar[str]
    extra: ClassVar[str]
    other_timeout: ClassVar[str] = ""
    decides = ("client.authenticate", "client.check_acl")
    pool_size = 0

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.breaker = Breaker(self._breaker_changed)
        self.statistics = Statistics()
        self._flights = SingleFlight()
        self._let_in: ExpiringMap[bytes, Grant] = ExpiringMap(MOST_REMEMBERED)

    # -- what a back-end defines ------------------------------------------------------------------------

    @abstractmethod
    def open(self) -> None:
        """Prepares to ask; connects to nobody. Raises ValueError, as a sentence, for settings that cannot be used."""

    @abstractmethod
    def ping(self) -> None:
        """Asks the back-end whether it is there; raises like any question."""

    @abstractmethod
    def shut(self) -> None:
        """Ends the connections."""

    @abstractmethod
    def identify(self, client: Client) -> bool | Grant | None:
        """Whether the credentials are right; None: the back-end does not know the client. Raises BackendFailed."""

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        """What the back-end's rules say; None: nothing. Raises BackendFailed."""
        return None

    @property
    def pool_in_use(self) -> int:
        return 0

    # -- the plugin -------------------------------------------------------------------------------------

    def load(self) -> None:
        self.imported = import_driver(self)
        self.open()
        if not self._answers_ping():  # clients are refused until it is there
            self.breaker.open()
        self.host.every(PROBE_EVERY_S, self._probe)
        self.host.hook("client.authenticate", self.authenticate, blocking=True)
        if type(self).rule is not LookupAuth.rule:
            self.host.hook("client.check_acl", self.check_acl, blocking=True)

    def unload(self) -> None:
        self._clear_alarm()
        self.shut()

    def _answers_ping(self) -> bool:
        try:
            self._asked(self.ping)
        except BackendFailed:
            return False
        return True

    def _probe(self) -> None:
        """While the breaker is open, the plugin and not a client finds out whether the back-end is back."""
        if self.breaker.is_open:
            self._answers_ping()

    def values_of(self, client: Client, access: int = 0, topic: str = "") -> dict[str, str]:
        """Of the placeholders in what is asked about a client."""
        template = self.host.broker.zone_of(client.zone).mountpoint
        return values_of(client, access, topic, client.mountpoint(template) or "")

    def ask(self, key: Hashable, question: Callable[[], Result]) -> Result:
        """Asks unless the breaker is open; an equal `key` that is under way is not asked twice.

        Raises BackendFailed."""
        if self.breaker.is_open:
            raise BackendFailed(f"the back-end is down: {self.statistics.last_error}")
        try:
            return self._flights.run(key, lambda: self._asked(question))
        except LookupAbandoned as error:
            raise BackendFailed(str(error)) from None

    def _asked(self, question: Callable[[], Result]) -> Result:
        """One question under the deadline, counted. Raises BackendFailed."""
        try:
            result = self._timed(question)
        except QuestionRefused as error:
            self.breaker.succeeded()
            self.statistics.last_error = str(error)
            raise BackendFailed(str(error)) from error
        except PoolExhausted as error:
            raise self._failed(str(error)) from None
        except self.errors as error:
            raise self._failed(self.describe(error)) from error
        self.breaker.succeeded()
        return result

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What is raised where the back-end does not answer, and `ask` turns into BackendFailed."""
        return OSError, LateAnswer

    def describe(self, error: Exception) -> str:
        """A driver's error as the end of a sentence, without secrets."""
        return " ".join(str(error).split()) or type(error).__name__

    def _timed(self, question: Callable[[], Result]) -> Result:
        began = time.monotonic()
        seconds = self.query_timeout
        try:
            with gevent.Timeout(seconds, LateAnswer(f"no answer within {seconds:g} s")):
                return question()
        finally:
            self.statistics.took(time.monotonic() - began)

    @property
    def query_timeout(self) -> float:
        """In seconds."""
        configured: float = self.host.settings[f"{self.prefix}.query_timeout"]
        other = self.host.settings[self.other_timeout] if self.other_timeout else 0
        return min(configured, other or configured, LONGEST_QUESTION * self.host.services.hook_deadline)

    def _failed(self, why: str) -> BackendFailed:
        self.statistics.last_error = why
        self.breaker.failed()
        return BackendFailed(why)

    # -- the hooks --------------------------------------------------------------------------------------

    def authenticate(self, client: Client) -> Answer:
        answer = self._decide(client)
        self._count(answer)
        return answer

    def _decide(self, client: Client) -> Answer:
        ttl = self.host.settings[f"{self.prefix}.cache_ttl"]
        if not ttl:
            return self._identify(client)
        key = keyed_digest(repr(identity(client)).encode(), client.password or b"")
        known = self._let_in.get(key)
        if known is not None:
            self.statistics.cached += 1
            return known
        answer = self._identify(client)
        if answer is True:
            answer = Grant()
        if isinstance(answer, Grant):
            self._let_in.put(key, answer, ttl)
        return answer

    def _identify(self, client: Client) -> Answer:
        try:
            return self.identify(client)
        except BackendFailed as failed:
            return self._unavailable(failed)

    def check_acl(self, client: Client, access: int, topic: str) -> Ruling | Unavailable | None:
        try:
            ruling = self.rule(client, access, topic)
        except BackendFailed as failed:
            return self._unavailable(failed)
        return None if ruling is None else Ruling(ruling.allow, f"{self.name}, {ruling.source}")

    def _unavailable(self, failed: BackendFailed) -> Unavailable | None:
        ignored = self.host.settings[f"{self.prefix}.on_unavailable"] == "ignore"
        return None if ignored else Unavailable(f"plugin {self.name}: {failed}")

    def _count(self, answer: Answer) -> None:
        self.statistics.outcomes[word_of(answer)] += 1

    def forget(self, client: Client | None = None) -> None:
        """Of one client only its rules are known by who it is: whoever was let in is known with the password."""
        self._let_in.clear()

    def find_is_super(self, client: Client) -> bool | None:
        """Asks the back-end, without a password; None: it cannot say, or does not know the client."""
        return None

    def reauthorize(self, client: Client) -> bool | Unavailable | None:
        self.forget(client)
        try:
            return self.find_is_super(client)
        except BackendFailed as failed:
            return self._unavailable(failed)

    def keep_for(self, client: Client) -> float:
        """For how many seconds the client's rules are kept; 0 where its zone has `enable_acl_cache = off`."""
        zone = self.host.broker.zone_of(client.zone)
        return zone.acl_cache_ttl / 1000 if zone.enable_acl_cache else 0

    # -- what operators see -----------------------------------------------------------------------------

    @property
    def _alarm_id(self) -> str:
        return f"auth_backend_down/{self.name}"

    def _breaker_changed(self, is_open: bool) -> None:
        if not is_open:
            self.host.log.warning("plugin %s: the back-end answers again", self.name)
            self._clear_alarm()
            return
        why = self.statistics.last_error
        summary = f"The back-end of {self.name} does not answer, so its clients are refused: {why}"
        self.host.log.error("plugin %s: the back-end is down: %s", self.name, why)
        self.host.services.alarms.set(
            Alarm(self._alarm_id, "critical", "authentication back-end down", summary, int(time.time())))

    def _clear_alarm(self) -> None:
        self.host.services.alarms.clear(self._alarm_id, int(time.time()))

    def routes(self) -> Sequence[Route]:
        base, name = f"/plugins/{self.name}", self.name.removeprefix("emqx_")
        return (
            Route(f"{name}_status", "GET", f"{base}/status", f"What {self.name} asked, and how its back-end is",
                  self.status, listed=False),
            Route(f"{name}_test", "POST", f"{base}/test", f"Whom {self.name} would let in, and by which rule",
                  self.test, takes=Trial, listed=False),
            Route(f"{name}_forget", "DELETE", f"{base}/cache", f"Forgets what {self.name} remembers of answers",
                  self.forget, listed=False),
        )

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
        yield Figure("auth_backend_up", "0 while the back-end does not answer.", int(not self.breaker.is_open),
                     is_counter=False)

    def status(self) -> Status:
        return Status("open" if self.breaker.is_open else "closed", self.pool_size, self.pool_in_use,
                      self.statistics.shown())

    def test(self, params: Trial) -> Tried:
        """The back-end is asked anew: what is remembered does not count."""
        client = Client(params.client_id, params.username, LOCAL, DEFAULT_ZONE,
                        password=None if params.password is None else params.password.encode())
        began = time.monotonic()
        verdict = self._identify(client)
        took = round((time.monotonic() - began) * 1000, 3)
        reason = verdict.why if isinstance(verdict, Unavailable) else ""
        client.is_super = isinstance(verdict, Grant) and verdict.is_super
        acl, rule = self._test_acl(client, params)
        return Tried(TESTED[word_of(verdict)], client.is_super, took, reason, acl, rule)

    def _test_acl(self, client: Client, params: Trial) -> tuple[str | None, str]:
        if params.topic is None:
            return None, ""
        if client.is_super:
            return "allow", "super user"
        try:
            ruling = self.rule(client, SUBSCRIBE if params.access == "subscribe" else PUBLISH, params.topic)
        except BackendFailed as failed:
            return "unavailable", str(failed)
        return ("ignore", "") if ruling is None else ("allow" if ruling.allow else "deny", ruling.source)


def import_driver(plugin: Driven) -> ModuleType:
    """Drivers are extras: most installations need one of them, or none. Raises ValueError, as a sentence."""
    try:
        return import_module(plugin.driver)
    except ImportError as error:
        raise ValueError(f"{plugin.name} needs a driver that is not installed ({error}): "
                         f"pip install 'emqx-mgmt[{plugin.extra}]'") from None


def identity(client: Client) -> tuple[Hashable, ...]:
    """What an answer about a client may depend on, but for its password."""
    return client.username, client.client_id, client.peer[0], client.subject, client.zone, client.port


TESTED = {"allowed": "allow", "denied": "deny", "ignored": "ignore", "unavailable": "unavailable"}


def word_of(answer: Answer) -> str:
    if isinstance(answer, Unavailable):
        return "unavailable"
    if answer is None:
        return "ignored"
    return "allowed" if answer else "denied"
