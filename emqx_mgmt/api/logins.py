"""Log-ins of browsers. A user sees his own, an administrator all. They begin at `/session`."""

from __future__ import annotations

import time

from msgspec import Struct

from emqx_mgmt.api import access
from emqx_mgmt.api.auth import USER, login_number, whose
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.broker.telemetry.about import datetime_text
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import Unknown
from emqx_mgmt.storage import Login


class LoginRow(Struct):
    """`address` and `browser` (a User-Agent) were sent with the log-in; `seen` is the time of the latest request.
    `…_ts` are unix seconds. `current` is true for the log-in of this request."""

    id: int
    username: str
    since: str
    since_ts: int
    seen: str
    seen_ts: int
    address: str
    browser: str
    current: bool


def list_logins(cluster: Cluster) -> list[LoginRow]:
    return [
        LoginRow(login.number, login.username, datetime_text(login.since), login.since, datetime_text(login.seen),
                 login.seen, login.address, login.browser, login.number == login_number())
        for login in theirs(cluster)
    ]


def end_login(cluster: Cluster, id: str) -> Done:
    """Ends a log-in and its streams."""
    login = next((one for one in theirs(cluster) if str(one.number) == id), None)
    if login is None:
        raise Unknown(id)
    cluster.local.logins.end(login)
    return Done()


def theirs(cluster: Cluster) -> list[Login]:
    """The log-ins that the caller may see and end."""
    logins = cluster.local.logins.current(time.time())
    return [one for one in logins if access.is_administrator() or whose() == (USER, one.username)]


ENDPOINTS = (
    Endpoint("list_logins", "GET", "/logins/", "List log-ins of browsers", list_logins, listed=False),
    Endpoint("end_login", "DELETE", "/logins/:id", "End a log-in of a browser", end_login, listed=False),
)
