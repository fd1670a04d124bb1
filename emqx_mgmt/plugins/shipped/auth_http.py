"""Users and rules from an HTTP service (behaviour, 22.2)."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from emqx_mgmt.broker.auth.client import Client, Grant, Ruling
from emqx_mgmt.plugins.lookup.plugin import BackendFailed, LookupAuth, common_settings
from emqx_mgmt.plugins.lookup.tls import NO_EFFECT, client_context, tls_settings
from emqx_mgmt.plugins.placeholders import Template, Values
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, STRING, Kind, enum, integer

PREFIX = "auth.http"
POOL_WAIT_S = 1.0
LONGEST_ANSWER = 65536
IGNORE = "ignore"

Params = tuple[tuple[str, Template], ...]
Received = tuple[int, str, bytes]   # status, content type, body
Answer = tuple[bool | None, dict[str, Any]]


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
    return tuple((name.strip(), Template.parse(value.strip())) for name, _, value in pairs)


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
        self._manager = self.imported.PoolManager(
            num_pools=4, maxsize=self.pool_size, block=True, retries=False,
            ssl_context=client_context(settings, f"{PREFIX}.ssl"))

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
        verdict, said = self._ask("auth", self._auth, client, self.values_of(client))
        if not verdict:
            return verdict
        if "is_superuser" in said or not self._super.url:
            return Grant(said.get("is_superuser") is True)
        return Grant(self._ask("super", self._super, client, self.values_of(client))[0] is True)

    def rule(self, client: Client, access: int, topic: str) -> Ruling | None:
        if not self._acl.url:
            return None
        verdict, _ = self._ask("acl", self._acl, client, self.values_of(client, access, topic))
        return None if verdict is None else Ruling(verdict, self._acl.url)

    def _ask(self, what: str, request: Request, client: Client, values: Values) -> Answer:
        """Equal questions about one client are sent once."""
        filled = request.filled(values)
        return self.ask((what, *filled.items()), lambda: self._verdict(request, filled))

    def _verdict(self, request: Request, params: dict[str, str]) -> Answer:
        method = request.method.upper()
        if method == "GET":
            separator = "&" if urlsplit(request.url).query else "?"
            query = urlencode(params, errors="surrogateescape")
            status, kind, body = self._send(method, f"{request.url}{separator}{query}", {})
        elif self.host.settings[f"{PREFIX}.body"] == "json":
            text = json.dumps(params).encode()
            status, kind, body = self._send(method, request.url, {"Content-Type": "application/json"}, text)
        else:
            text = urlencode(params, errors="surrogateescape").encode()
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            status, kind, body = self._send(method, request.url, form, text)
        return self._read(status, kind, body)

    def _read(self, status: int, kind: str, body: bytes) -> Answer:
        """200 is a yes and 4xx a no. Anything else is no answer: the service is not well, or is not the service."""
        if 400 <= status < 500 and status != http.HTTPStatus.TOO_MANY_REQUESTS:
            return False, {}
        if status not in (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT):
            raise OSError(f"the service answered with status {status}")
        if body.strip() == IGNORE.encode():
            return None, {}
        if kind.split(";")[0].strip() != "application/json":
            return True, {}
        try:
            said = json.loads(body)
        except ValueError:
            raise OSError("the service answered with application/json that is none") from None
        if not isinstance(said, dict) or "result" not in said:
            return True, said if isinstance(said, dict) else {}
        results = {"allow": True, "deny": False, IGNORE: None}
        if said["result"] not in results:
            raise OSError("the service answered with a result that is not allow, deny or ignore")
        return results[said["result"]], said

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
            return response.status, response.headers.get("Content-Type", ""), text
        except BaseException:
            response.close()  # the rest of this answer must not be read as that of the next question
            raise
        finally:
            response.release_conn()
