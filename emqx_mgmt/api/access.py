"""Authorization: the role of an application or a user, and an application's scopes, decide which endpoints it may
call."""

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
# Resources that only administrators may read.
GUARDED = frozenset({"audit"})
# Resources that every role may change. The handlers let a caller change only its own rows.
PERSONAL = frozenset({"logins"})


def demand(endpoint: Endpoint, least: Role = VIEWER) -> None:
    """Raises Forbidden for a caller that may not use the endpoint, or whose role is below `least`."""
    reason = refusal(flask.g.get("caller"), endpoint, least)
    if reason is not None:
        raise Forbidden(reason)


def lasting(least: Role = VIEWER) -> Callable[[], bool]:
    """Returns a function that says whether the caller might still make this request. Streams call it, since
    credentials, roles and scopes may change while they last. `least` is the lowest role that suffices."""
    endpoint, again = flask.g.endpoint, flask.g.again

    def may() -> bool:
        caller = again()
        return caller is not None and refusal(caller, endpoint, least) is None

    return may


def refusal(caller: object, endpoint: Endpoint, least: Role = VIEWER) -> str | None:
    """The reason why the caller may not use the endpoint; None when it may. The command line may use every endpoint."""
    if not isinstance(caller, Application | User) or endpoint.public or is_about_himself(caller, endpoint):
        return None
    if isinstance(caller, Application) and caller.scopes is not None and endpoint.scope not in caller.scopes:
        return f"the application is not for {endpoint.scope}"
    needed = max(role_for(endpoint), least, key=RANK.__getitem__)
    return None if RANK[caller.role] >= RANK[needed] else f"needs the role {needed}"


def is_administrator() -> bool:
    """Whether the caller of this request is an administrator. Its scopes may still exclude resources."""
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
