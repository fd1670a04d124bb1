"""Users and rules from an HTTP service (behaviour, 22.2)."""

from __future__ import annotations

import heapq
import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode, urlsplit

from emqx_mgmt.broker.auth.client import Client, Grant, Ruling
from emqx_mgmt.plugins.lookup.auth import BackendFailed
from emqx_mgmt.plugins.lookup.memory import ExpiringMap, keyed_digest
from emqx_mgmt.plugins.lookup.plugin import MOST_REMEMBERED, LookupAuth, common_settings
from emqx_mgmt.plugins.lookup.rules import LAST_S, rules_of_claim
from emqx_mgmt.plugins.lookup.tls import NO_EFFECT, client_context, tls_settings
from emqx_mgmt.plugins.placeholders import PLACEHOLDER_OF_REQUESTS, Template, Values
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, STRING, Kind, enum, integer

PREFIX = "auth.http"
POOL_WAIT_S = 1.0
LONGEST_ANSWER = 65536
IGNORE = "ignore"

Params = tuple[tuple[str, Template], ...]
# A verdict that is to be forgotten earlier than others goes within so many seconds of its time.
SWEEP_S = 0.1
REJECTIONS = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
MAX_AGE = re.compile(r"\bmax-age=(\d{1,9})\b|\b(?:no-store|no-cache)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Received:
    """`max_age`: for how many seconds the service says that the answer holds; None: it does not say."""

    status: int
    kind: str
    body: bytes
    max_age: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """`verdict` None: the next module's. `said` are the members of a JSON answer."""

    verdict: bool | None
    said: Mapping[str, Any] = field(default_factory=dict)
    max_age: float | None = None
    is_rejection: bool = False



def parse_url(text: str) -> str:
    """Raises ValueError with the end of a sentence."""
    if text:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL that begins with http:// or https://")
    return text


def parse_params(text: str) -> Params:
    pairs = [word.partition("=") for word in text.split(",") if word.strip()]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("must be name=value, of several divided by commas")
    return tuple((name.strip(), Template.parse(value.strip(), PLACEHOLDER_OF_REQUESTS)) for name, _, value in pairs)


def show_params(params: Params) -> str:
    return ",".join(f"{name}={''.join(value.parts)}" for name, value in params)


URL = Kind("string", parse_url)
PARAMS = Kind("string", parse_params, show_params)
WHO = "clientid=%c,username=%u"


@dataclass(frozen=True, slots=True)
class Request:
    """One of the questions: where it goes, how, and what is in it."""

    url: str
    method: str
    params: Params

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset().union(*(value.placeholders for _, value in self.params))

    def filled(self, values: Values) -> dict[str, str]:
        return {name: value.fill(values) for name, value in self.params}


def request_settings(word: str, url: str, method: str, params: str, doc: str) -> tuple[Key, ...]:
    return (
        Key(f"{PREFIX}.{word}", URL, url, doc),
        Key(f"{PREFIX}.{word}.method", enum("get", "post", "put"), method, "get sends the parameters as a query."),
        Key(f"{PREFIX}.{word}.params", PARAMS, params, "The parameters: name=value, divided by commas."),
    )


class AuthHttp(LookupAuth):
    name = "emqx_auth_http"
    description = "EMQ X Authentication/ACL with HTTP API"
    prefix = PREFIX
    driver = "urllib3"
    extra = "http"
    other_timeout = f"{PREFIX}.request.timeout"
    settings = (
        *request_settings("auth_req", "http://127.0.0.1:8991/mqtt/auth", "post", f"{WHO},password=%P",
                          "Who is let in: 200 yes, with the body ignore the next module is asked; 4xx no."),
        *request_settings("super_req", "http://127.0.0.1:8991/mqtt/superuser", "post", WHO,
                          "Who is a super user: 200 yes; empty: nobody is."),
        *request_settings("acl_req", "http://127.0.0.1:8991/mqtt/acl", "get",
                          "access=%A,username=%u,clientid=%c,ipaddr=%a,topic=%t",
                          "What a client may do: 200 yes, with the body ignore the next module is asked; else no. "
                          "Empty: not asked."),
        Key(f"{PREFIX}.body", enum("form", "json"), "form", "How the parameters of a POST are written."),
        Key(f"{PREFIX}.reject_cache", DURATION_KIND, "1s", "How long a client that was refused with 401 or 403 is "
            "refused without asking again for the same; 0s: not at all."),
        Key(f"{PREFIX}.header.$Name", STRING, "", "A header of each request.", secret=True),
        Key(f"{PREFIX}.pool", integer(1, 1000), "32", "Connections to the service at most."),
        Key(f"{PREFIX}.request.connect_timeout", DURATION_KIND, "1s", "How long connecting may take; 0s: as long as an "
            "answer."),
        Key(f"{PREFIX}.request.connect_timout", DURATION_KIND, "0s", "The same, as some versions of EMQ X spell it."),
        Key(f"{PREFIX}.request.timeout", DURATION_KIND, "0s", "As query_timeout, in EMQ X: the shorter one counts; 0s: "
            "not given."),
        *(Key(f"{PREFIX}.request.{word}", STRING, "", NO_EFFECT, inert=True)
          for word in ("retry_times", "retry_interval", "retry_backoff")),
        *tls_settings(f"{PREFIX}.ssl"),
        *common_settings(PREFIX),
    )

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return *super().errors, self.imported.exceptions.HTTPError

    def open(self) -> None:
        settings = self.host.settings
        self._auth, self._super, self._acl = (
            Request(settings[f"{PREFIX}.{word}"], settings[f"{PREFIX}.{word}.method"],
                    settings[f"{PREFIX}.{word}.params"]) for word in ("auth_req", "super_req", "acl_req"))
        if not self._auth.url:
            raise ValueError(f"{PREFIX}.auth_req is empty")
        self._headers = {"User-Agent": "emqx-mgmt"}
        for word, value in settings.chosen(f"{PREFIX}.header.$Name").items():
            if any(ord(character) < 32 or ord(character) == 127 for character in value):
                raise ValueError(f"{PREFIX}.header.{word} has a control character")
            self._headers[word.replace("_", "-")] = value
        self.pool_size = settings[f"{PREFIX}.pool"]
        self._in_use = 0
        self._rejected: ExpiringMap[bytes, bool] = ExpiringMap(MOST_REMEMBERED)
        self._short_lived: list[tuple[float, int, Client, str]] = []
        self._numbers = count()
        self._manager = self.imported.PoolManager(
            num_pools=4, maxsize=self.pool_size, block=True, retries=False,
            ssl_context=client_context(settings, f"{PREFIX}.ssl"))

    def load(self) -> None:
        super().load()
        self.host.every(SWEEP_S, self._forget_verdicts)

    @property
    def pool_in_use(self) -> int:
        return self._in_use

    def ping(self) -> None:
        """Any answer will do: what the service says of a request without parameters is its own."""
        self._send("GET", self._auth.url, {})

    def shut(self) -> None:
        self._manager.clear()

    # -- the questions ----------------------------------------------------------------------------------

    def identify(self, client: Client) -> bool | Grant | None:
        asked = self._auth.placeholders
        if ("%u" in asked and not client.username) or ("%P" in asked and not client.password):
            return False
        values = self.values_of(client)
        key = keyed_digest(*(value.encode("utf-8", "surrogateescape") for value in self._auth.filled(values).values()))
        if self._rejected.get(key):
            return False
        answer = self._ask("auth", self._auth, values)
        if not answer.verdict:
            if answer.is_rejection and (seconds := self.host.settings[f"{PREFIX}.reject_cache"]):
                self._rejected.put(key, True, seconds)
            return answer.verdict
        return self._granted(client, answer.said)

    def _granted(self, client: Client, said: Mapping[str, Any]) -> bool | Grant:
        """By the members of a JSON answer. Rules that cannot be read might have denied."""
        expires_at = said.get("expire_at")
        if expires_at is not None and type(expires_at) not in (int, float):
            raise BackendFailed("the service answered with an expire_at that is no number")
        if expires_at is not None and expires_at <= time.time():
            return False
        try:
            rules = rules_of_claim(said.get("acl"), "the answer")
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise BackendFailed(f"the service answered with an acl that cannot be read: {error}") from None
        is_super = said.get("is_superuser") is True
        if "is_superuser" not in said and self._super.url:
            is_super = self.find_is_super(client) is True
        return Grant(is_super, None if expires_at is None else min(expires_at, LAST_S), rules)

    def find_is_super(self, client: Client) -> bool | None:
        if not self._super.url:
            return None
        return self._ask("super", self._super, self.values_of(client)).verdict

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        if not self._acl.url:
            return None
        answer = self._ask("acl", self._acl, self.values_of(client, access, topic))
        if answer.max_age is not None and answer.max_age < self.keep_for(client):
            due = time.monotonic() + answer.max_age
            heapq.heappush(self._short_lived, (due, next(self._numbers), client, topic))
        return None if answer.verdict is None else Ruling(answer.verdict, self._acl.url)

    def _forget_verdicts(self) -> None:
        """Those whose time, which the service gave them, is up."""
        now = time.monotonic() - SWEEP_S  # the broker remembers a verdict after it was given here
        while self._short_lived and self._short_lived[0][0] <= now:
            _, _, client, topic = heapq.heappop(self._short_lived)
            session = self.host.broker.sessions.get(client.client_id)
            if session is not None and session.channel is not None and session.channel.context is client:
                session.channel.clean_acl_cache(topic.encode())

    def forget(self, client: Client | None = None) -> None:
        super().forget(client)
        self._rejected.clear()

    def _ask(self, what: str, request: Request, values: Values) -> Answer:
        """Equal questions about one client are sent once."""
        filled = request.filled(values)
        return self.ask((what, *filled.items()), lambda: self._verdict(request, filled))

    def _verdict(self, request: Request, params: dict[str, str]) -> Answer:
        method = request.method.upper()
        if method == "GET":
            separator = "&" if urlsplit(request.url).query else "?"
            query = urlencode(params, errors="surrogateescape")
            received = self._send(method, f"{request.url}{separator}{query}", {})
        elif self.host.settings[f"{PREFIX}.body"] == "json":
            text = json.dumps(params).encode()
            received = self._send(method, request.url, {"Content-Type": "application/json"}, text)
        else:
            text = urlencode(params, errors="surrogateescape").encode()
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            received = self._send(method, request.url, form, text)
        return self._read(received)

    def _read(self, received: Received) -> Answer:
        """200 is a yes and 4xx a no. Anything else is no answer: the service is not well, or is not the service."""
        status, body, age = received.status, received.body, received.max_age
        if 400 <= status < 500 and status != http.HTTPStatus.TOO_MANY_REQUESTS:
            return Answer(False, max_age=age, is_rejection=status in REJECTIONS)
        if status not in (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT):
            raise OSError(f"the service answered with status {status}")
        if body.strip() == IGNORE.encode():
            return Answer(None, max_age=age)
        if received.kind.split(";")[0].strip() != "application/json":
            return Answer(True, max_age=age)
        try:
            said = json.loads(body)
        except ValueError:
            raise OSError("the service answered with application/json that is none") from None
        if not isinstance(said, dict) or "result" not in said:
            return Answer(True, said if isinstance(said, dict) else {}, age)
        results = {"allow": True, "deny": False, IGNORE: None}
        if not isinstance(said["result"], str) or said["result"] not in results:
            raise OSError("the service answered with a result that is not allow, deny or ignore")
        return Answer(results[said["result"]], said, age)

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Received:
        """Once more where a connection that was kept ended before it brought the first byte of an answer."""
        self._in_use += 1
        try:
            try:
                return self._send_once(method, url, headers, body)
            except self.imported.exceptions.ProtocolError as error:
                if not isinstance(error.args[-1], (http.client.RemoteDisconnected, ConnectionResetError)):
                    raise
                return self._send_once(method, url, headers, body)
        finally:
            self._in_use -= 1

    def _send_once(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Received:
        settings, seconds = self.host.settings, self.query_timeout
        words = ("connect_timout", "connect_timeout")
        connect = next(filter(None, (settings[f"{PREFIX}.request.{word}"] for word in words)), seconds)
        timeout = self.imported.Timeout(connect=connect, read=seconds)
        response = self._manager.request(method, url, body=body, headers=self._headers | headers, redirect=False,
                                         timeout=timeout, pool_timeout=POOL_WAIT_S, preload_content=False)
        try:
            text = response.read(LONGEST_ANSWER + 1, decode_content=True)
            if len(text) > LONGEST_ANSWER:
                raise BackendFailed(f"the service answered with more than {LONGEST_ANSWER} bytes")
            response.drain_conn()
            return Received(response.status, response.headers.get("Content-Type", ""), text,
                            max_age_of(response.headers.get("Cache-Control", "")))
        except BaseException:
            response.close()  # the rest of this answer must not be read as that of the next question
            raise
        finally:
            response.release_conn()


def max_age_of(directives: str) -> float | None:
    """What Cache-Control says (RFC 9111, 5.2.2), in seconds."""
    found = MAX_AGE.search(directives)
    return None if found is None else float(found[1] or 0)
