"""Authentication by HTTP Basic: credentials of an application on the management listener, of a user on the dashboard's.
On the latter, a browser may send the cookie of its log-in instead.

Credentials are checked before anything else below the prefix, also for paths that do not exist. Only endpoints that are
declared public need none.
"""

from __future__ import annotations

import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import flask
from flask_httpauth import HTTPBasicAuth

from emqx_mgmt.api import browsers, errors, failed_logins, source
from emqx_mgmt.api.credentials import credentials_of
from emqx_mgmt.api.endpoint import PREFIX
from emqx_mgmt.api.throttle import Throttle
from emqx_mgmt.listeners.control import user_of
from emqx_mgmt.storage import PUBLIC_PASSWORD, Application, Login, User

if TYPE_CHECKING:
    from emqx_mgmt.broker.telemetry.event_subscriber import Owner
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.node import Node

REALM = "minirest-server"
MANAGEMENT, DASHBOARD = "management", "dashboard"
APPLICATION, USER, LOCAL = "application", "user", "local"
UNAUTHORIZED = "UNAUTHORIZED"
STILL_PUBLIC = (
    "the default password is accepted from this machine only:"
    " change it there, or set dashboard.default_user.password and start again"
)


@dataclass(frozen=True, slots=True)
class Local:
    """A user of this machine, on the command line. The control socket accepts only root and the user that the broker
    runs as."""

    username: str


Caller = Application | User


def whose() -> tuple[str, str]:
    """The author of the request: a kind (`application`, `user` or `local`), and a name."""
    caller = flask.g.get("caller")
    if isinstance(caller, Application):
        return APPLICATION, caller.app_id
    return LOCAL if isinstance(caller, Local) else USER, caller.username if caller is not None else ""


def install(app: flask.Flask, node: Node) -> None:
    logins = Logins(node)
    app.extensions["logins"] = logins
    basic = HTTPBasicAuth(realm=REALM)
    basic.verify_password(logins.caller)

    def ask() -> flask.Response | None:
        local = flask.g.caller = _local()
        if local is not None:
            flask.g.again = lambda: local
            return None
        given = credentials_of(flask.request.headers.get("Authorization", ""))
        login = logins.of_browser() if given is None else None
        if login is not None:
            if flask.request.method not in browsers.SAFE and not browsers.is_shown_to_be_own_page():
                return errors.text(403, browsers.refusal())
            flask.g.login = login
            flask.g.caller = node.store.users.get(login.username)
            flask.g.again = lambda: logins.still(login)
            return None
        # Flask-HTTPAuth would parse a header of any scheme as Basic.
        caller = basic.authenticate(given, None) if given is not None else None
        if given is None:
            return refusal()
        if not caller:
            kind = USER if flask.g.listener == DASHBOARD else APPLICATION
            failed_logins.note(kind, given.username or "", UNAUTHORIZED)
            return refusal()
        if isinstance(caller, User) and is_public_abroad(given.password or ""):
            failed_logins.note(USER, caller.username, STILL_PUBLIC)
            return refusal(f"{UNAUTHORIZED}: {STILL_PUBLIC}")
        flask.g.caller = caller
        flask.g.again = logins.renewal(caller, given.password or "")
        return None

    app.extensions["ask_credentials"] = ask

    @app.before_request
    def guard() -> flask.Response | None:
        flask.g.listener = _listener(node.listeners)
        return None if not _is_guarded(flask.request.path) or _is_public() else ask()


def demand() -> flask.Response | None:
    """Refuses a request without valid credentials. Called by endpoints outside of the prefix; None where the
    credentials are valid."""
    refused: flask.Response | None = flask.current_app.extensions["ask_credentials"]()
    return refused


class Busy(Exception):
    """Too many passwords wait to be verified."""


class Logins:
    """Checks credentials. After a wrong password, further attempts from the same address are delayed."""

    def __init__(self, node: Node) -> None:
        self._store = node.store
        self._throttle = Throttle()

    def of_browser(self) -> Login | None:
        """The log-in whose cookie comes with this request, while its user is there."""
        cookie = flask.request.cookies.get(self.cookie_name()) if flask.g.listener == DASHBOARD else None
        login = self._store.logins.find(cookie, time.time()) if cookie else None
        return login if login is not None and self._store.users.get(login.username) is not None else None

    def still(self, login: Login) -> User | None:
        """The user of a log-in, while it is valid."""
        return self._store.users.get(login.username) if self._store.logins.left(login, time.time()) > 0 else None

    def cookie_name(self) -> str:
        """The name has the installation's number, because a cookie is sent to every port of a host and two brokers may
        share one. It differs over TLS, because a browser does not replace a cookie set over TLS by one set without."""
        return f"dashboard_{self._store.installation:08x}{'_tls' if source.is_secure() else ''}"

    def caller(self, name: str, password: str) -> Application | User | None:
        """The application or user that the credentials belong to, depending on the listener of the request; None where
        they are wrong."""
        if flask.g.listener == DASHBOARD:
            return self.user(name, password)
        application = self._store.applications.verify(name, password)
        if application is None:
            self._throttle.failed(source.address())
            self._throttle.wait(source.address())
        return application

    def user(self, name: str, password: str, most_waiting: int | None = None) -> User | None:
        """The user, or None for a wrong password. Raises Busy where more than `most_waiting` passwords wait to be
        verified."""
        user = self._store.users.remembered(name, password)
        if user is not None:
            return user
        self._throttle.wait(source.address())
        if most_waiting is not None and self._store.users.verifying > most_waiting:
            raise Busy
        user = self._store.users.verify(name, password)
        if user is None:
            self._throttle.failed(source.address())
        else:
            self._throttle.succeeded(source.address())
        return user

    def renewal(self, caller: Caller, password: str) -> Callable[[], Caller | None]:
        """Returns a function that gives the current record of the caller, or None once its credentials are no longer
        valid."""
        if isinstance(caller, Application):
            return lambda: self._store.applications.verify(caller.app_id, password)
        users, before = self._store.users, self._store.users.version(caller.username)
        return lambda: users.get(caller.username) if users.version(caller.username) == before else None


def is_public_abroad(password: str) -> bool:
    """Whether this is the default password, sent from another machine or through a proxy."""
    return password == PUBLIC_PASSWORD and not source.is_this_machine()


def refusal(text: str = UNAUTHORIZED) -> flask.Response:
    """The answer 401, the same for every cause. Requests of the dashboard's pages get no WWW-Authenticate header,
    because a browser would open its own dialog for it."""
    headers = {} if is_of_pages() else {"WWW-Authenticate": f'Basic Realm="{REALM}"'}
    return flask.Response(text, 401, headers, content_type="text/plain")


def is_of_pages() -> bool:
    """Whether the request comes from a script of the dashboard."""
    if "X-Requested-With" in flask.request.headers:
        return True
    logins: Logins = flask.current_app.extensions["logins"]
    return flask.g.listener == DASHBOARD and logins.cookie_name() in flask.request.cookies


def login_number() -> int | None:
    """The number of the log-in whose cookie the request has; None without one."""
    login: Login | None = flask.g.get("login")
    return None if login is None else login.number


def stream_owner() -> Owner:
    return (*whose(), login_number() or 0)


def _local() -> Local | None:
    sock = source.control_socket()
    if sock is None:
        return None
    uid = user_of(sock)
    try:
        return Local(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return Local(str(uid))


def _is_guarded(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _is_public() -> bool:
    """The endpoint that the router found decides, never the beginning of the path."""
    view = flask.current_app.view_functions.get(flask.request.endpoint or "")
    return getattr(view, "public", False)


def _listener(listeners: list[Listener]) -> str:
    """The listener of the request, found by the address that accepted its connection."""
    host, port = flask.request.environ["SERVER_NAME"], flask.request.environ["SERVER_PORT"]
    accepting = [one for one in listeners if not one.is_mqtt and str(one.endpoint.port) == port]
    if len(accepting) > 1:
        accepting = [one for one in accepting if one.endpoint.host == host]
    return accepting[0].name if accepting else MANAGEMENT
