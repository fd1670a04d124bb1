"""Users of the dashboard."""

from __future__ import annotations

from typing import Annotated

import flask
from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api import failed_logins
from emqx_mgmt.api.access import ADMINISTRATOR, Role
from emqx_mgmt.api.auth import STILL_PUBLIC, USER, Logins, is_public_abroad, login_number
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter, MissingParameter
from emqx_mgmt.api.render import Done
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import (
    ADMIN_STAYS,
    NO_CREDENTIALS,
    NO_SUCH_USER,
    USER_EXISTS,
    WRONG_OLD_PASSWORD,
    WRONG_PASSWORD,
    RequestRefused,
)

ADMIN = "admin"
UNKNOWN = "Username Not Found"


class Credentials(Struct):
    username: str = ""
    password: str = ""


class NewUser(Credentials):
    tags: str = ""
    role: Role = "administrator"


class Changes(Struct):
    """An update replaces the members that it has. An empty password counts as absent."""

    tags: str | UnsetType = UNSET
    role: Role | UnsetType = UNSET
    password: str = ""


class Shown(Struct):
    """`role` is shown where it is not administrator, and with `_fields=extended` always."""

    username: str
    tags: str
    role: str | UnsetType = UNSET


class Passwords(Struct):
    new_pwd: Annotated[str, Meta(min_length=1)]
    old_pwd: str = ""


def auth_user(_cluster: Cluster, params: Credentials) -> Done:
    if not params.username:
        raise RequestRefused("Username undefined", NO_CREDENTIALS)
    _authenticate(_cluster, params.username, params.password, WRONG_PASSWORD)
    if is_public_abroad(params.password):
        failed_logins.note(USER, params.username, STILL_PUBLIC)
        raise RequestRefused(STILL_PUBLIC, WRONG_PASSWORD)
    return Done()


def list_users(cluster: Cluster) -> list[Shown]:
    every = extended()
    return [
        Shown(user.username, user.tags, user.role if every or user.role != ADMINISTRATOR else UNSET)
        for user in cluster.local.users.all()
    ]


def create_user(cluster: Cluster, params: NewUser) -> Done:
    if not params.username or not params.password:
        raise RequestRefused("Username or password undefined", NO_CREDENTIALS)
    if ":" in params.username:
        raise BadParameter("username", "must not contain a colon, which ends it in the Authorization header")
    if not cluster.local.users.add(params.username, params.password, params.tags, params.role):
        raise RequestRefused("username already exist", USER_EXISTS)
    return Done()


def update_user(cluster: Cluster, name: str, params: Changes) -> Done:
    """Does not need the old password, so an administrator can help a user who has forgotten it."""
    if params.tags is UNSET and params.role is UNSET and not params.password:
        raise MissingParameter("tags")
    done = cluster.local.users.update(
        name,
        tags=None if params.tags is UNSET else params.tags,
        role=None if params.role is UNSET else params.role,
        password=params.password or None,
        spared=login_number(),
    )
    if not done:
        raise RequestRefused("username_not_found", NO_SUCH_USER)
    return Done()


def delete_user(cluster: Cluster, name: str) -> Done:
    if name == ADMIN:
        raise RequestRefused("Cannot delete admin", ADMIN_STAYS)
    if not cluster.local.users.delete(name):
        raise RequestRefused(UNKNOWN, NO_SUCH_USER)
    return Done()


def change_pwd(cluster: Cluster, username: str, params: Passwords) -> Done:
    _authenticate(cluster, username, params.old_pwd, WRONG_OLD_PASSWORD)
    if not cluster.local.users.update(username, password=params.new_pwd, spared=login_number()):
        raise RequestRefused(UNKNOWN, NO_SUCH_USER)
    return Done()


def _authenticate(cluster: Cluster, username: str, password: str, wrong: int) -> None:
    """`wrong` is the return code for a wrong password."""
    if not password:
        raise RequestRefused("Password undefined", NO_CREDENTIALS)
    logins: Logins = flask.current_app.extensions["logins"]
    if logins.user(username, password) is None:
        known = cluster.local.users.get(username) is not None
        reason = "Password Error" if known else UNKNOWN
        failed_logins.note(USER, username, reason)
        raise RequestRefused(reason, wrong if known else NO_SUCH_USER)


ENDPOINTS = (
    Endpoint("auth_user", "POST", "/auth", "Authenticate an user", auth_user, takes=Credentials, public=True,
             audited=False),
    Endpoint(
        "change_pwd",
        "PUT",
        "/change_pwd/:username",
        "Change password for an user",
        change_pwd,
        takes=Passwords,
        own="username",
    ),
    Endpoint("create_user", "POST", "/users/", "Create an user", create_user, takes=NewUser),
    Endpoint("delete_user", "DELETE", "/users/:name", "Delete an user", delete_user),
    Endpoint("list_users", "GET", "/users/", "List users", list_users),
    Endpoint("update_user", "PUT", "/users/:name", "Update an user", update_user, takes=Changes),
)
