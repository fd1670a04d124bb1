"""The authentication method SCRAM-SHA-256: RFC 5802's exchange for the users of the record store."""

from __future__ import annotations

from typing import Protocol

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.enhanced import AuthenticationFailed, Challenge, Proven
from emqx_mgmt.broker.auth.scram import Exchange, ScramError, Verifier, read_first

METHOD = "SCRAM-SHA-256"


class User(Protocol):
    """A user of SCRAM."""

    @property
    def is_superuser(self) -> bool:
        """Whether ACL rules do not apply to it."""


class Users(Protocol):
    """The table of users."""

    def get(self, username: str) -> User | None:
        """None for an unknown name."""

    def verifier(self, username: str) -> Verifier:
        """For an unknown name too: one that no password fits."""


class ScramMethod:
    """A handler of `client.enhanced_authenticate`."""

    def __init__(self, users: Users) -> None:
        self._users = users

    def __call__(self, _client: Client, method: str) -> ScramConversation | None:
        return ScramConversation(self._users) if method == METHOD else None


class ScramConversation:
    """One exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._username = ""
        self._exchange: Exchange | None = None
        self._invited = False

    def step(self, data: bytes | None) -> Challenge | Proven:
        """The answer to the client's Authentication Data. Raises AuthenticationFailed."""
        if data is None:
            return self._invite()
        try:
            return self._begin(data) if self._exchange is None else self._end(self._exchange, data)
        except ScramError as error:
            raise AuthenticationFailed(str(error)) from None

    def _invite(self) -> Challenge:
        """CONNECT may come without the client's first message (RFC 4422, section 5: an empty challenge asks for it)."""
        if self._invited or self._exchange is not None:
            raise AuthenticationFailed("no data")
        self._invited = True
        return Challenge(None)

    def _begin(self, data: bytes) -> Challenge:
        first = read_first(data)
        self._username = first.username
        self._exchange = Exchange(first, self._users.verifier(first.username))
        return Challenge(self._exchange.challenge())

    def _end(self, exchange: Exchange, data: bytes) -> Proven:
        signature = exchange.final(data)
        user = self._users.get(self._username)
        if user is None:
            raise AuthenticationFailed("no such user")
        return Proven(self._username, user.is_superuser, signature)
