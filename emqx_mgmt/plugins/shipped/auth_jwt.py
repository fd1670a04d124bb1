"""Clients that show a JSON Web Token (behaviour, 22.3)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from emqx_mgmt.broker.auth.client import Client, Grant, Unavailable
from emqx_mgmt.broker.auth.enhanced import AuthenticationFailed, Proven
from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.broker.telemetry.alarms import Alarm
from emqx_mgmt.plugins.lookup.auth import Answer, AuthPlugin
from emqx_mgmt.plugins.lookup.rules import LAST_S, rules_of_claim
from emqx_mgmt.plugins.lookup.tls import NO_EFFECT, client_context, tls_settings
from emqx_mgmt.plugins.lookup.web_keys import LONGEST_SET, WebKeys
from emqx_mgmt.plugins.placeholders import OF_CLIENTS, Template, values_of
from emqx_mgmt.settings import Key
from emqx_mgmt.settings.kinds import DURATION_KIND, FLAG, PATH, STRING, WORDS, Kind, enum

PREFIX = "auth.jwt"
SHIPPED_SECRET = "emqxsecret"
SHORTEST_SECRET = 32    # bytes, of HS256 (RFC 7518, 3.2)
FETCH_S = 5.0
HMACS = ["HS256", "HS384", "HS512"]
# By the kind of key (RFC 7518, 3.1): never by what a token says of itself.
ALGORITHMS = {
    "rsa": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "ec": ["ES256", "ES384", "ES512", "ES256K"],
    "okp": ["EdDSA"],
    "oct": HMACS,
}
TIMES = ("exp", "nbf", "iat")
METHOD = "JWT"  # of enhanced authentication
Decide = Callable[[Client, bytes], Answer]


def parse_claim(text: str) -> Template:
    template = Template.parse(text)
    if not template.placeholders <= OF_CLIENTS:
        raise ValueError("may have %u and %c")
    return template


CLAIM = Kind("string", parse_claim, lambda template: "".join(template.parts))


class AuthJwt(AuthPlugin):
    name = "emqx_auth_jwt"
    description = "EMQ X Authentication with JWT"
    decides = ("client.authenticate",)
    driver = extra = "jwt"
    summary = "The keys of {} cannot be fetched, and those from before stay"
    settings = (
        Key(f"{PREFIX}.secret", STRING, SHIPPED_SECRET, "Signs the tokens of HS256, HS384 and HS512; empty: none of "
            "these.", secret=True),
        Key(f"{PREFIX}.pubkey", PATH, "", "A file with the public key of tokens that are signed with RSA or an "
            "elliptic curve, in PEM."),
        Key(f"{PREFIX}.jwks", STRING, "", "A URL with a set of public keys (RFC 7517)."),
        Key(f"{PREFIX}.jwks.refresh_interval", DURATION_KIND, "5m", "How often that is fetched."),
        *tls_settings(f"{PREFIX}.jwks.ssl"),
        Key(f"{PREFIX}.from", enum("password", "username"), "password", "Where clients put the token."),
        Key(f"{PREFIX}.algorithms", WORDS, "", "The algorithms that may sign, divided by commas; empty: all that fit "
            "the keys."),
        Key(f"{PREFIX}.signature_format", STRING, "", NO_EFFECT, inert=True),
        Key(f"{PREFIX}.leeway", DURATION_KIND, "0s", "How far clocks may differ."),
        Key(f"{PREFIX}.verify_claims", FLAG, "off", "Compare the claims below."),
        Key(f"{PREFIX}.verify_claims.$Claim", CLAIM, "", "What a claim has to be; %u and %c are the user name and the "
            "client id."),
        Key(f"{PREFIX}.acl_claim_name", STRING, "acl", "The claim with the client's rules."),
        Key(f"{PREFIX}.disconnect_after_expire", FLAG, "on", "End the connection when its token ends."),
        Key(f"{PREFIX}.on_unavailable", enum("deny", "ignore"), "deny", "What becomes of clients while the keys cannot "
            "be fetched: refused (Server unavailable), or left to the next module."),
    )

    def load(self) -> None:
        self._jwt = self.import_driver()
        settings = self.host.settings
        self._secret: str = settings[f"{PREFIX}.secret"]
        self._public = self._read_public(settings[f"{PREFIX}.pubkey"])
        self._keys = self._web_keys(settings[f"{PREFIX}.jwks"])
        if not self._secret and self._public is None and self._keys is None:
            raise ValueError(f"one of {PREFIX}.secret, {PREFIX}.pubkey and {PREFIX}.jwks has to be set")
        self._is_down = False
        self._warn()
        if self._keys is not None:
            self._refresh()
            self.host.every(settings[f"{PREFIX}.jwks.refresh_interval"], self._refresh)
        may_wait = self._keys is not None
        self.host.hook("client.authenticate", self.authenticate, blocking=may_wait)
        self.host.hook("client.enhanced_authenticate", self._converse, blocking=may_wait)

    def unload(self) -> None:
        self.show_down(False)
        self._alarm_shipped(False)

    def _read_public(self, file: str) -> tuple[Any, list[str]] | None:
        if not file:
            return None
        serialization = import_module("cryptography.hazmat.primitives.serialization")
        try:
            key = serialization.load_pem_public_key(Path(file).read_bytes())
        except OSError as error:
            raise ValueError(f"{PREFIX}.pubkey: {file} cannot be read: {error.strerror}") from None
        except ValueError:
            raise ValueError(f"{PREFIX}.pubkey: {file} has no public key in PEM") from None
        word = type(key).__name__.lower()
        kind = "rsa" if "rsa" in word else "ec" if "elliptic" in word else "okp"
        return key, ALGORITHMS[kind]

    def _web_keys(self, url: str) -> WebKeys | None:
        if not url:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{PREFIX}.jwks must be a URL that begins with http:// or https://")
        urllib3 = import_module("urllib3")
        context = client_context(self.host.settings, f"{PREFIX}.jwks.ssl")
        manager = urllib3.PoolManager(retries=False, ssl_context=context)

        def fetch() -> bytes:
            answer = manager.request("GET", url, timeout=FETCH_S, redirect=False, preload_content=False)
            text: bytes = answer.read(LONGEST_SET + 1)
            answer.close()
            if answer.status != 200 or len(text) > LONGEST_SET:
                raise OSError(f"{url} answered with status {answer.status} and {len(text)} bytes")
            return text

        return WebKeys(fetch, self._parse_web_key, self._fetched)

    def _parse_web_key(self, key: dict[str, Any]) -> tuple[Any, list[str]]:
        try:
            parsed = self._jwt.PyJWK(key)
        except self._jwt.PyJWTError as error:
            raise ValueError(str(error)) from None
        return parsed.key, [key["alg"]] if "alg" in key else ALGORITHMS[str(key["kty"]).lower()]

    def _refresh(self) -> None:
        assert self._keys is not None
        with contextlib.suppress(Exception):  # which `_fetched` has told
            self._keys.refresh()

    def _fetched(self, error: Exception | None) -> None:
        self._is_down = error is not None
        if error is not None:
            self.statistics.last_error = str(error)
            self.host.log.warning("plugin %s: %s cannot be fetched, and the keys from before stay: %s", self.name,
                                  self.host.settings[f"{PREFIX}.jwks"], error)
        self.show_down(self._is_down)

    @property
    def is_down(self) -> bool:
        return self._is_down

    def _alarm_shipped(self, is_shipped: bool) -> None:
        now = int(time.time())
        if is_shipped:
            self.host.services.alarms.set(Alarm(
                "auth_jwt_secret", "warning", "shipped secret in use",
                f"{PREFIX}.secret is the one that {self.name} ships with: anybody can sign a token with it", now))
        else:
            self.host.services.alarms.clear("auth_jwt_secret", now)

    def _warn(self) -> None:
        self._alarm_shipped(self._secret == SHIPPED_SECRET)
        if self._secret == SHIPPED_SECRET:
            self.host.log.warning("plugin %s: everybody knows the shipped %s.secret: set another", self.name, PREFIX)
        elif 0 < len(self._secret.encode()) < SHORTEST_SECRET:
            self.host.log.warning("plugin %s: %s.secret has less than %d bytes, and can be guessed", self.name, PREFIX,
                                  SHORTEST_SECRET)

    # -- the hook ---------------------------------------------------------------------------------------

    def authenticate(self, client: Client) -> Answer:
        return self.counted(self.decide(client))

    def decide(self, client: Client) -> Answer:
        from_password = self.host.settings[f"{PREFIX}.from"] == "password"
        shown = client.password if from_password else (client.username or "").encode()
        return self._look_at(client, shown) if shown else False

    def _converse(self, client: Client, method: str) -> Conversation | None:
        """Tokens as Authentication Data: these can be renewed while the connection lasts (MQTT 5.0, section 4.12.1)."""
        return Conversation(client, self._decide_shown) if method == METHOD else None

    def _decide_shown(self, client: Client, shown: bytes) -> Answer:
        return self.counted(self._look_at(client, shown))

    def _look_at(self, client: Client, shown: bytes) -> Answer:
        """A token is a question, as far as the statistics go."""
        began = time.monotonic()
        try:
            return self._worth(client, shown)
        finally:
            self.statistics.took(time.monotonic() - began)

    def _worth(self, client: Client, shown: bytes) -> Answer:
        try:
            header = self._jwt.get_unverified_header(shown)
        except self._jwt.PyJWTError:
            return None  # no token: the next module's
        try:
            keys = self._candidates(header)
        except Exception as error:
            if self.host.settings[f"{PREFIX}.on_unavailable"] == "ignore":
                return None
            return Unavailable(f"plugin {self.name}: the keys cannot be fetched: {error}")
        claims = self._verified(shown, keys)
        if claims is None or not self._claims_fit(claims, client):
            return False
        return self._grant(claims)

    def _candidates(self, header: Mapping[str, Any]) -> list[tuple[Any, list[str]]]:
        """Keys, each with the algorithms that go with it."""
        keys: list[tuple[Any, list[str]]] = []
        if self._secret:
            keys.append((self._secret, HMACS))
        if self._public is not None:
            keys.append(self._public)
        algorithm = header.get("alg")
        if self._keys is not None and not any(algorithm in algorithms for _, algorithms in keys):
            keys += self._keys.candidates(header.get("kid"))
        allowed = self.host.settings[f"{PREFIX}.algorithms"]
        return [(key, [one for one in algorithms if not allowed or one in allowed]) for key, algorithms in keys
                if algorithm in algorithms]

    def _verified(self, token: bytes, keys: list[tuple[Any, list[str]]]) -> dict[str, Any] | None:
        for key, algorithms in keys:
            try:
                claims: dict[str, Any] = self._jwt.decode(
                    token, key, algorithms=algorithms, leeway=self.host.settings[f"{PREFIX}.leeway"],
                    options={"verify_aud": False, "enforce_minimum_key_length": False})
            except (self._jwt.PyJWTError, ValueError, TypeError, OverflowError):
                continue
            if all(type(claims[name]) in (int, float) for name in TIMES if name in claims):
                return claims
        return None

    def _claims_fit(self, claims: Mapping[str, Any], client: Client) -> bool:
        settings = self.host.settings
        if not settings[f"{PREFIX}.verify_claims"]:
            return True
        values = values_of(client)
        return all(str(claims.get(name, "")) == expected.fill(values)
                   for name, expected in settings.chosen(f"{PREFIX}.verify_claims.$Claim").items())

    def _grant(self, claims: Mapping[str, Any]) -> bool | Grant:
        settings = self.host.settings
        expires_at = None
        if "exp" in claims and settings[f"{PREFIX}.disconnect_after_expire"]:
            expires_at = min(float(claims["exp"]), LAST_S) + settings[f"{PREFIX}.leeway"]
            if expires_at <= time.time():
                return False
        try:
            rules = rules_of_claim(claims.get(settings[f"{PREFIX}.acl_claim_name"]), "the token")
        except (TypeError, ValueError, AttributeError, KeyError):
            return False  # rules that cannot be read might have denied
        return Grant(claims.get("is_superuser") is True, expires_at, rules)


class Conversation:
    """`decide` says what a token is worth; a client sends one, and that is all."""

    def __init__(self, client: Client, decide: Decide) -> None:
        self._client = client
        self._decide = decide

    def step(self, data: bytes | None) -> Proven:
        answer = self._decide(self._client, data) if data else None
        if isinstance(answer, Unavailable):
            raise HandlerFailed(answer.why)
        if not isinstance(answer, Grant):
            raise AuthenticationFailed("no token that is good")
        return Proven(self._client.username, answer.is_super, None, answer.expires_at, answer.rules)
