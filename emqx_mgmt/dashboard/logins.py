"""/session: a browser logs in and out. It gets an opaque cookie that scripts cannot read. The answers are JSON in
neither style."""

from __future__ import annotations

import hmac
import logging
import time
from typing import TYPE_CHECKING, Annotated

import flask
from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api import browsers, failed_logins, parameters, source
from emqx_mgmt.api.auth import STILL_PUBLIC, USER, Busy, Logins, is_public_abroad
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.render import plain
from emqx_mgmt.broker.telemetry.about import VERSION
from emqx_mgmt.dashboard import port
from emqx_mgmt.storage import PUBLIC_PASSWORD, Login, User

if TYPE_CHECKING:
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.node import Node

log = logging.getLogger(__name__)

MOST_WAITING = 8    # log-ins whose passwords wait to be verified
RETRY_AFTER_S = 1
LONGEST_AGENT = 200
SHORTEST_PASSWORD = 8
LOGGED_IN, LOGGED_OUT, FIRST_PASSWORD = "logged_in", "logged_out", "first_password"
WRONG = "The user name or the password is wrong."
BUSY = "Too many log-ins are being checked. Try again in a second."
NO_FIRST = ("The password was chosen already, or this is not the address that the broker logged at its latest start.")


class Credentials(Struct):
    username: str
    password: str


class FirstPassword(Struct):
    """`token` is the one logged at the start; a browser on this machine needs none."""

    password: Annotated[str, Meta(min_length=SHORTEST_PASSWORD)]
    token: str = ""


class WebSocketListener(Struct):
    """`tls` is true for wss. `port` is the port that the broker listens on."""

    name: str
    port: int
    path: str
    tls: bool


class Session(Struct):
    """The log-in of this browser. Without one, `username` is null and `choose_password` is the only other member.

    `must_change`: the user still has the default password. `expires_in`: seconds until the log-in ends if it is not
    used. `choose_password`: the first user has no password yet, and this browser may choose it without a token.
    """

    username: str | None
    choose_password: bool
    role: str | UnsetType = UNSET
    must_change: bool | UnsetType = UNSET
    login: int | UnsetType = UNSET
    expires_in: int | UnsetType = UNSET
    version: str | UnsetType = UNSET
    node: str | UnsetType = UNSET
    nodes: list[str] | UnsetType = UNSET
    websockets: list[WebSocketListener] | UnsetType = UNSET


class Sessions:
    """The three requests of `/session`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._store = node.store

    def show(self) -> flask.Response:
        login = self._asking().of_browser()
        return plain(self._shown(login))

    def begin(self) -> flask.Response:
        given = parameters.converted(parameters.given(), Credentials)
        try:
            user = self._asking().user(given.username, given.password, MOST_WAITING)
        except Busy:
            return said(429, BUSY, {"Retry-After": str(RETRY_AFTER_S)})
        if user is None:
            failed_logins.note(USER, given.username, WRONG)
            return said(401, WRONG)
        if is_public_abroad(given.password):
            failed_logins.note(USER, user.username, STILL_PUBLIC)
            return said(401, STILL_PUBLIC)
        return self._begin(user, given)

    def _begin(self, user: User, given: Credentials) -> flask.Response:
        version = self._store.users.version(user.username)
        # A new log-in ends the browser's earlier one.
        before = self._asking().of_browser()
        begun = version and self._store.logins.begin(
            user.username, version, source.address(),
            flask.request.headers.get("User-Agent", "")[:LONGEST_AGENT], time.time())
        if not begun:
            failed_logins.note(USER, given.username, WRONG)
            return said(401, WRONG)
        if before is not None:
            self._store.logins.end(before)
        cookie, login = begun
        self._record(LOGGED_IN, login.username)
        response = plain(self._shown(login))
        # Without a path, so that the browser uses the folder of /session as it sees it, also behind a proxy that adds a
        # prefix.
        response.set_cookie(self._asking().cookie_name(), cookie, path=None, secure=source.is_secure(), httponly=True,
                            samesite="Strict")
        return response

    def end(self) -> flask.Response:
        login = self._asking().of_browser()
        if login is not None:
            if not browsers.is_shown_to_be_own_page():
                return said(403, browsers.refusal())
            self._store.logins.end(login)
            self._record(LOGGED_OUT, login.username)
        response = plain(self._shown(None))
        response.delete_cookie(self._asking().cookie_name(), path=None)
        return response

    def choose_first_password(self) -> flask.Response:
        """Sets the first user's password. The request needs the token of the start, or must come from this machine,
        where the default password would be accepted too."""
        given = parameters.converted(parameters.given(), FirstPassword)
        first = self._store.users.first_password
        is_token = first is not None and hmac.compare_digest(given.token.encode(), first.token.encode())
        if first is None or not (is_token or (not given.token and source.is_this_machine())):
            failed_logins.note(USER, "", "first password: no such token")
            return said(401, NO_FIRST)
        if given.password == first.username or given.password == PUBLIC_PASSWORD:
            raise BadParameter("password", "must be neither the user's name nor the well-known password")
        self._store.users.choose_first(first, given.password)
        self._record(FIRST_PASSWORD, first.username)
        return plain({"username": first.username})

    def _shown(self, login: Login | None) -> Session:
        users, node = self._store.users, self._node
        first = users.first_password
        may_choose = first is not None and source.is_this_machine()
        user = None if login is None else users.get(login.username)
        if login is None or user is None:
            return Session(None, may_choose)
        return Session(
            user.username, may_choose, user.role, first is not None and first.username == user.username, login.number,
            int(self._store.logins.left(login, time.time())), VERSION, node.name, [node.name],
            [row_of(one) for one in node.listeners if one.is_mqtt and one.websocket is not None])

    def _asking(self) -> Logins:
        logins: Logins = flask.current_app.extensions["logins"]
        return logins

    def _record(self, action: str, username: str) -> None:
        flask.g.logged = [(action, username)]
        log.info("Dashboard: %s: user %r, from %s", action.replace("_", " "), username, source.address())


def row_of(listener: Listener) -> WebSocketListener:
    assert listener.websocket is not None
    return WebSocketListener(listener.name, listener.endpoint.port, listener.websocket.path, listener.tls is not None)


def said(status: int, sentence: str, headers: dict[str, str] | None = None) -> flask.Response:
    """{"message": sentence}"""
    response = plain({"message": sentence})
    response.status_code = status
    response.headers.update(headers or {})
    return response


def blueprint(node: Node) -> flask.Blueprint:
    sessions = Sessions(node)
    session = flask.Blueprint("session", __name__)

    @session.before_request
    def answer_bare() -> None:
        flask.g.style = "bare"

    for method, path, call in (
        ("GET", "/session", sessions.show), ("POST", "/session", sessions.begin), ("DELETE", "/session", sessions.end),
        ("POST", "/session/first", sessions.choose_first_password),
    ):
        session.add_url_rule(path, call.__name__, call, methods=[method], provide_automatic_options=False)
    return port.guard(session, node)
