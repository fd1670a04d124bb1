"""The parts of a plugin: the class that its author writes, and the records that it declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct

from emqx_mgmt.settings import Key

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client, Unavailable
    from emqx_mgmt.plugins.host import Host


METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
WORD = re.compile(r":[A-Za-z_]\w*|[\w.~-]+", re.ASCII)


class Refused(Exception):
    """Raised by a plugin's REST function that cannot fulfil a request; `message` and `code` are the answer."""

    def __init__(self, message: str, code: int = 102) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Route:
    """An entry of the REST API while the plugin is loaded, below /api/v3 and behind its authentication.

    `path` names parameters with a colon (`/greetings/:client`). `handler` gets them by name. When `takes` is a Struct,
    it also gets `params`: the query and the JSON body, checked and converted. Its result is sent as JSON; None is sent
    as "ok". `listed` routes appear in the index.
    """

    name: str
    method: str
    path: str
    descr: str
    handler: Callable[..., Any]
    takes: type[Struct] | None = None
    listed: bool = True

    @property
    def shape(self) -> tuple[str, ...]:
        """The key by which requests are routed: the method and the words of the path, with all parameters alike."""
        return shape_of(self.method, self.path)

    def check(self) -> None:
        """Raises ValueError for a route that cannot be served."""
        words = [word for word in self.path.split("/") if word]
        named = [word for word in words if word.startswith(":")]
        if self.method not in METHODS or not words or not all(map(WORD.fullmatch, words)) or len({*named}) < len(named):
            raise ValueError(f"{self.method} {self.path} is not a method and a path such as GET /greetings/:client")
        if not callable(self.handler) or not (isinstance(self.name, str) and isinstance(self.descr, str)):
            raise ValueError(f"{self.method} {self.path} needs a name, a description and a function")
        if self.takes is not None and not (isinstance(self.takes, type) and issubclass(self.takes, Struct)):
            raise ValueError(f"{self.method} {self.path} takes what is no msgspec.Struct")


def shape_of(method: str, path: str) -> tuple[str, ...]:
    return (method, *(":" if word.startswith(":") else word for word in path.split("/") if word))


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure for `/metrics`, which adds `emqx_` to `name` and the label `plugin` to `labels`."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    is_counter: bool = True


class Plugin:
    """Base class of all plugins. An instance lives from load to unload.

    The host takes back everything that `load` took from `self.host` (hooks, timers, greenlets, sockets) when the plugin
    is unloaded, and also when `load` or `unload` raises.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "3.0"
    description: ClassVar[str] = ""
    # The settings, with kind, default and meaning. Those that are `hot` can change while the plugin runs.
    settings: ClassVar[Sequence[Key]] = ()
    # SQL scripts that make the plugin's own tables, one for each version. A released script never changes.
    tables: ClassVar[Sequence[str]] = ()
    # The decisions in which the plugin takes part, of `client.authenticate`, `client.check_acl` and `client.subscribe`.
    # They are refused while the plugin should run but cannot be loaded. () for none; None means all of them.
    decides: ClassVar[Sequence[str] | None] = None
    # The reason why the plugin cannot be unloaded, as a sentence; empty for ordinary plugins.
    stays: ClassVar[str] = ""

    def __init__(self, host: Host) -> None:
        self.host = host

    def load(self) -> None:
        """Begins the service. An exception is the answer to the request to load, and the plugin stays unloaded."""

    def unload(self) -> None:
        """Ends whatever was not taken from the host."""

    def routes(self) -> Sequence[Route]:
        """The plugin's routes. Called once, after `load`."""
        return ()

    def figures(self) -> Iterable[Figure]:
        """The plugin's figures. Called for each request of `/metrics`."""
        return ()

    def forget(self, client: Client | None = None) -> None:
        """Clears cached answers about one client, or about all of them."""

    def reauthorize(self, client: Client) -> bool | Unavailable | None:
        """Determines anew whether a connected client is a super user, without its password. None where the plugin does
        not know."""
        return None

    def changed(self, key: str) -> None:
        """The hot setting `key` has a new value."""
