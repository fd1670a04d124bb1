"""What a caller may do: by the role of an application or a user, and by the resources that an application is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import flask

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import Forbidden
from emqx_mgmt.storage import Application, User

Role = Literal["viewer", "operator", "administrator"]
VIEWER: Role = "viewer"
OPERATOR: Role = "operator"
ADMINISTRATOR: Role = "administrator"
RANK: dict[str, int] = {VIEWER: 0, OPERATOR: 1, ADMINISTRATOR: 2}
# What an operator may change: clients and messages. Everything else, routes of plugins included, is for administrators.
OPERATED = frozenset({"alarms", "banned", "connections", "delayed", "mqtt", "retained", "sessions", "slow_subscribers",
                      "subscriptions", "topic_metrics"})
# What is not for everybody to read.
GUARDED = frozenset({"audit"})
# What everybody may change: handlers see to it that it is the caller's own.
PERSONAL = frozenset({"logins"})


def demand(endpoint: Endpoint, least: Role = VIEWER) -> None:
    """Raises Forbidden for a caller that may not use the endpoint, or whose role is below `least`."""
    reason = refusal(flask.g.get("caller"), endpoint, least)
    if reason is not None:
        raise Forbidden(reason)


def lasting(least: Role = VIEWER) -> Callable[[], bool]:
    """Whether the caller of this request might still make it: for an answer that goes on, while credentials, roles and
    scopes change. `least`: the role that it needs at least."""
    endpoint, again = flask.g.endpoint, flask.g.again

    def may() -> bool:
        caller = again()
        return caller is not None and refusal(caller, endpoint, least) is None

    return may


def refusal(caller: object, endpoint: Endpoint, least: Role = VIEWER) -> str | None:
    """Why the caller may not use the endpoint; None when it may. Who is on the command line may use all."""
    if not isinstance(caller, Application | User) or endpoint.public or is_about_himself(caller, endpoint):
        return None
    if isinstance(caller, Application) and caller.scopes is not None and endpoint.scope not in caller.scopes:
        return f"the application is not for {endpoint.scope}"
    needed = max(role_for(endpoint), least, key=RANK.__getitem__)
    return None if RANK[caller.role] >= RANK[needed] else f"needs the role {needed}"


def is_administrator() -> bool:
    """Whether the caller of this request may do everything that its scopes let it."""
    caller = flask.g.get("caller")
    return caller is not None and (not isinstance(caller, Application | User) or caller.role == ADMINISTRATOR)


def is_about_himself(caller: Application | User, endpoint: Endpoint) -> bool:
    if endpoint.own is None or not isinstance(caller, User):
        return False
    return (flask.request.view_args or {}).get(endpoint.own) == caller.username


def role_for(endpoint: Endpoint) -> str:
    if endpoint.scope in GUARDED:
        return ADMINISTRATOR
    if endpoint.method == "GET" or endpoint.scope in PERSONAL:
        return VIEWER
    return OPERATOR if endpoint.scope in OPERATED else ADMINISTRATOR
