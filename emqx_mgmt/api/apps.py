"""Applications: who may use the management listener."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api.access import ADMINISTRATOR, Role, is_administrator
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import RequestRefused
from emqx_mgmt.plugins.config import MASK
from emqx_mgmt.storage import Application

UNDEFINED = "undefined"

Text = Annotated[str, Meta(min_length=1)]
UnixSeconds = Annotated[int, Meta(ge=0, lt=1 << 53)]
Scope = Annotated[str, Meta(pattern="^[a-z0-9_-]+$")]
LONGEST_OVERLAP = 30 * 86400


class Properties(Struct):
    """The members that an update replaces. A member that it leaves out becomes `undefined`, and `status` becomes true.
    `role` and `scopes` are an exception: v3 does not have them, and an application must not become an administrator
    because a tool of v3 changed its name. They stay as they are."""

    name: Text = UNDEFINED
    desc: str = UNDEFINED
    status: bool = True
    expired: UnixSeconds | Literal["undefined"] | None = None
    style: Literal["bare", "envelope"] | None = None
    names: Literal["slashes", "dots"] | None = None
    role: Role | UnsetType = UNSET
    scopes: list[Scope] | UnsetType | None = UNSET

    def application(self, before: Application) -> Application:
        expired = self.expired if isinstance(self.expired, int) else None
        role, scopes = before.role, before.scopes
        if self.role is not UNSET:
            role = self.role
        if self.scopes is not UNSET:
            scopes = None if self.scopes is None else tuple(self.scopes)
        return Application(
            before.app_id, self.name, self.desc, self.status, expired, self.style, self.names, role, scopes
        )


class NewApplication(Properties, kw_only=True):
    # A colon would end the name in the Authorization header.
    app_id: Annotated[str, Meta(min_length=1, pattern="^[^:]*$")]
    name: Text
    secret: str | None = None  # an empty one, which dashboards send, counts as absent


class Listed(Struct):
    app_id: str
    name: str
    desc: str
    status: bool
    expired: int | str


class Shown(Struct):
    """`style`, `names` and `scopes` are shown where they are set, and `role` where it is not administrator."""

    app_id: str
    secret: str
    name: str
    desc: str
    status: bool
    expired: int | str
    style: str | UnsetType = UNSET
    names: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    scopes: list[str] | UnsetType = UNSET


class Secret(Struct):
    secret: str


class Rotation(Struct):
    """The number of seconds for which the old secret is accepted beside the new one."""

    overlap: Annotated[int, Meta(ge=0, le=LONGEST_OVERLAP)] = 0


def list_apps(cluster: Cluster) -> list[Listed]:
    return [
        Listed(app.app_id, app.name, app.desc, app.status, _expired(app)) for app in cluster.local.applications.all()
    ]


def lookup_app(cluster: Cluster, appid: str) -> Shown | list[Shown]:
    """An unknown id is answered with an empty list."""
    app = cluster.local.applications.get(appid)
    if app is None:
        return []
    return Shown(
        app.app_id,
        _secret(cluster, appid),
        app.name,
        app.desc,
        app.status,
        _expired(app),
        app.style or UNSET,
        app.names or UNSET,
        UNSET if app.role == ADMINISTRATOR else app.role,
        UNSET if app.scopes is None else list(app.scopes),
    )


def add_app(cluster: Cluster, params: NewApplication) -> Secret:
    new = params.application(Application(params.app_id, params.name))
    secret = cluster.local.applications.add(new, params.secret)
    if secret is None:
        raise RequestRefused("alread_existed")
    cluster.local.fresh_secrets.put(params.app_id, secret)
    return Secret(secret)


def update_app(cluster: Cluster, appid: str, params: Properties) -> Done:
    before = cluster.local.applications.get(appid)
    if before is None or not cluster.local.applications.update(params.application(before)):
        raise RequestRefused("ont_found")
    return Done()


def rotate_secret(cluster: Cluster, appid: str, params: Rotation) -> Secret:
    secret = cluster.local.applications.rotate(appid, params.overlap)
    if secret is None:
        raise RequestRefused("ont_found")
    cluster.local.fresh_secrets.put(appid, secret)
    return Secret(secret)


def del_app(cluster: Cluster, appid: str) -> Done:
    cluster.local.applications.delete(appid)
    cluster.local.fresh_secrets.drop(appid)
    return Done()


def _secret(cluster: Cluster, app_id: str) -> str:
    """The secret, for an administrator, within ten minutes after it was made. The store has only a digest of it."""
    fresh = cluster.local.fresh_secrets.get(app_id)
    return fresh if fresh is not None and is_administrator() else MASK


def _expired(app: Application) -> int | str:
    return UNDEFINED if app.expired is None else app.expired


ENDPOINTS = (
    Endpoint("add_app", "POST", "/apps/", "Add Application", add_app, takes=NewApplication),
    Endpoint("del_app", "DELETE", "/apps/:appid", "Delete Application", del_app),
    Endpoint("list_apps", "GET", "/apps/", "List Applications", list_apps),
    Endpoint("lookup_app", "GET", "/apps/:appid", "Lookup Application", lookup_app),
    Endpoint("update_app", "PUT", "/apps/:appid", "Update Application", update_app, takes=Properties),
    Endpoint(
        "rotate_secret",
        "POST",
        "/apps/:appid/secret",
        "Give an application a new secret",
        rotate_secret,
        takes=Rotation,
        listed=False,
    ),
)
