"""The plugins that ask a database or a service who may connect and what a client may do (behaviour, 22).

One body for all of them: the breaker, the deadline, equal questions asked once, what is remembered, what is counted,
and what operators see. A back-end says how it is asked.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeVar

import gevent

from emqx_mgmt.broker.auth.client import Client, Grant, Ruling, Unavailable
from emqx_mgmt.plugins.lookup.auth import Answer, AuthPlugin, BackendFailed
from emqx_mgmt.plugins.lookup.breaker import Breaker
from emqx_mgmt.plugins.lookup.memory import ExpiringMap, keyed_digest
from emqx_mgmt.plugins.lookup.pool import PoolExhausted
from emqx_mgmt.plugins.lookup.single_flight import LookupAbandoned, SingleFlight
from emqx_mgmt.plugins.placeholders import values_of
from emqx_mgmt.plugins.plugin import Route
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, FLAG, enum

if TYPE_CHECKING:
    from emqx_mgmt.plugins.host import Host

Result = TypeVar("Result")
MOST_REMEMBERED = 100_000
PROBE_EVERY_S = 1.0
# Of `plugins.hook_deadline`: a log-in asks two questions, and a handler that is late says nothing about the back-end.
LONGEST_QUESTION = 0.45


class LateAnswer(Exception):
    """The back-end did not answer within the query timeout."""


class QuestionRefused(Exception):
    """The back-end answered that it cannot be asked this: it is there, and others can ask it. A client whose name does
    not fit a column must not open the breaker for all."""


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


class LookupAuth(AuthPlugin):
    """`prefix` begins the settings' keys. `imported` is the driver. `other_timeout` is a setting that EMQ X has in
    place of query_timeout."""

    prefix: ClassVar[str]
    other_timeout: ClassVar[str] = ""
    summary = "The back-end of {} does not answer, so its clients are refused"
    decides = ("client.authenticate", "client.check_acl")

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.breaker = Breaker(self._breaker_changed)
        self._flights = SingleFlight()
        self._is_over = False
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

    # -- the plugin -------------------------------------------------------------------------------------

    def load(self) -> None:
        self.imported = self.import_driver()
        self.open()
        if not self._answers_ping():  # clients are refused until it is there
            self.breaker.open()
        self.host.every(PROBE_EVERY_S, self._probe)
        self.host.hook("client.authenticate", self.authenticate, blocking=True)
        if type(self).rule is not LookupAuth.rule:
            self.host.hook("client.check_acl", self.check_acl, blocking=True)

    def unload(self) -> None:
        self._is_over = True
        self.show_down(False)
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
        return self.counted(self._known_or_decided(client))

    def _known_or_decided(self, client: Client) -> Answer:
        ttl = self.host.settings[f"{self.prefix}.cache_ttl"]
        if not ttl:
            return self.decide(client)
        key = keyed_digest(repr(identity(client)).encode(), client.password or b"")
        known = self._let_in.get(key)
        if known is not None:
            self.statistics.cached += 1
            return known
        answer = self.decide(client)
        if answer is True:
            answer = Grant()
        if isinstance(answer, Grant):
            self._let_in.put(key, answer, ttl)
        return answer

    def decide(self, client: Client) -> Answer:
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
    def is_down(self) -> bool:
        return self.breaker.is_open

    def _breaker_changed(self, is_open: bool) -> None:
        if self._is_over:
            return  # a question that was under way: nobody would clear its alarm
        if is_open:
            self.host.log.error("plugin %s: the back-end is down: %s", self.name, self.statistics.last_error)
        else:
            self.host.log.warning("plugin %s: the back-end answers again", self.name)
        self.show_down(is_open)

    def routes(self) -> Sequence[Route]:
        return (*super().routes(), Route(
            f"{self.name.removeprefix('emqx_')}_forget", "DELETE", f"/plugins/{self.name}/cache",
            f"Forgets what {self.name} remembers of answers", self.forget, listed=False))


def identity(client: Client) -> tuple[Hashable, ...]:
    """What an answer about a client may depend on, but for its password."""
    return client.username, client.client_id, client.peer[0], client.subject, client.zone, client.port
