"""Applications: who may use the management listener."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import Done
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.errors import Refused
from emqx_mgmt.storage import Application

UNDEFINED = "undefined"
# Shown in place of a secret, of which only a digest is kept.
MASK = "******"

Text = Annotated[str, Meta(min_length=1)]
UnixSeconds = Annotated[int, Meta(ge=0, lt=1 << 53)]


class Properties(Struct):
    """What an update replaces; what it leaves out becomes undefined, and `status` true."""

    name: Text = UNDEFINED
    desc: str = UNDEFINED
    status: bool = True
    expired: UnixSeconds | Literal["undefined"] | None = None
    style: Literal["bare", "envelope"] | None = None
    names: Literal["slashes", "dots"] | None = None

    def application(self, app_id: str) -> Application:
        expired = self.expired if isinstance(self.expired, int) else None
        return Application(app_id, self.name, self.desc, self.status, expired, self.style, self.names)


class NewApplication(Properties, kw_only=True):
    # A colon would end the name in the Authorization header.
    app_id: Annotated[str, Meta(min_length=1, pattern="^[^:]*$")]
    name: Text
    secret: Text | None = None


class Listed(Struct):
    app_id: str
    name: str
    desc: str
    status: bool
    expired: int | str


class Shown(Struct):
    """`style` and `names` appear where they are set."""

    app_id: str
    secret: str
    name: str
    desc: str
    status: bool
    expired: int | str
    style: str | UnsetType = UNSET
    names: str | UnsetType = UNSET


class Secret(Struct):
    secret: str


def list_apps(cluster: Cluster) -> list[Listed]:
    return [
        Listed(app.app_id, app.name, app.desc, app.status, _expired(app)) for app in cluster.here.applications.all()
    ]


def lookup_app(cluster: Cluster, appid: str) -> Shown | list[Shown]:
    """An unknown id is answered with an empty list."""
    app = cluster.here.applications.get(appid)
    if app is None:
        return []
    return Shown(
        app.app_id,
        MASK,
        app.name,
        app.desc,
        app.status,
        _expired(app),
        app.style or UNSET,
        app.names or UNSET,
    )


def add_app(cluster: Cluster, params: NewApplication) -> Secret:
    secret = cluster.here.applications.add(params.application(params.app_id), params.secret)
    if secret is None:
        raise Refused("alread_existed")
    return Secret(secret)


def update_app(cluster: Cluster, appid: str, params: Properties) -> Done:
    if not cluster.here.applications.update(params.application(appid)):
        raise Refused("ont_found")
    return Done()


def rotate_secret(cluster: Cluster, appid: str) -> Secret:
    secret = cluster.here.applications.rotate(appid)
    if secret is None:
        raise Refused("ont_found")
    return Secret(secret)


def del_app(cluster: Cluster, appid: str) -> Done:
    cluster.here.applications.delete(appid)
    return Done()


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
        listed=False,
    ),
)
