"""Users of MQTT 5's enhanced authentication with SCRAM-SHA-256."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import NO_SUCH_USER, USER_EXISTS, RequestRefused
from emqx_mgmt.storage import ScramUser

UNKNOWN = "Username Not Found"


class Secret(Struct):
    password: Annotated[str, Meta(min_length=1)]
    is_superuser: bool = False


class NewUser(Secret, kw_only=True):
    username: Annotated[str, Meta(min_length=1)]


def list_scram_users(cluster: Cluster) -> list[ScramUser]:
    return cluster.local.scram_users.all()


def create_scram_user(cluster: Cluster, params: NewUser) -> Done:
    try:
        added = cluster.local.scram_users.add(params.username, params.password, params.is_superuser)
    except ValueError as error:
        raise BadParameter("username or password", str(error)) from None
    if not added:
        raise RequestRefused("username already exist", USER_EXISTS)
    return Done()


def update_scram_user(cluster: Cluster, username: str, params: Secret) -> Done:
    try:
        known = cluster.local.scram_users.update(username, params.password, params.is_superuser)
    except ValueError as error:
        raise BadParameter("password", str(error)) from None
    if not known:
        raise RequestRefused(UNKNOWN, NO_SUCH_USER)
    return Done()


def delete_scram_user(cluster: Cluster, username: str) -> Done:
    if not cluster.local.scram_users.delete(username):
        raise RequestRefused(UNKNOWN, NO_SUCH_USER)
    return Done()


# EMQ X has no such resource, so the index does not list them.
ENDPOINTS = (
    Endpoint("list_scram_users", "GET", "/scram_users/", "List users of SCRAM-SHA-256", list_scram_users, listed=False),
    Endpoint("create_scram_user", "POST", "/scram_users/", "Create an user of SCRAM-SHA-256", create_scram_user,
             takes=NewUser, listed=False),
    Endpoint("update_scram_user", "PUT", "/scram_users/:username", "Update an user of SCRAM-SHA-256",
             update_scram_user, takes=Secret, listed=False),
    Endpoint("delete_scram_user", "DELETE", "/scram_users/:username", "Delete an user of SCRAM-SHA-256",
             delete_scram_user, listed=False),
)
