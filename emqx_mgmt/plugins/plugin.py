"""What a plugin is made of: the class that its author writes, and the records that it declares."""

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
    """A plugin's REST function cannot do what it is asked; `message` and `code` are the answer."""

    def __init__(self, message: str, code: int = 102) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class Route:
    """An entry of the REST API while the plugin is loaded, below /api/v3 and behind its authentication.

    `path` names parameters with a colon (`/greetings/:client`). `handler` gets them by name, and `params` as well when
    `takes` is a Struct: the query and the JSON body, checked and converted. What it returns is sent as JSON; None is
    answered "ok". `listed` routes appear in the index.
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
        """What requests are told apart by: method and words, parameters being all alike."""
        return shape_of(self.method, self.path)

    def check(self) -> None:
        """Raises ValueError for what cannot be served."""
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
    """One of the figures that `/metrics` shows: `name` without `emqx_`, and beside `labels` the label `plugin`."""

    name: str
    help: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()
    is_counter: bool = True


class Plugin:
    """Base class of all plugins. An instance lives from load to unload.

    Everything that `load` takes from `self.host` (hooks, timers, greenlets, sockets) is given back by the host when the
    plugin is unloaded, also when `load` or `unload` raises.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "3.0"
    description: ClassVar[str] = ""
    # Each setting with its kind, default and meaning; `hot` ones are changed while the plugin runs.
    settings: ClassVar[Sequence[Key]] = ()
    # Scripts that make the plugin's own tables, one a version; never changed once released.
    tables: ClassVar[Sequence[str]] = ()
    # Which of `client.authenticate`, `client.check_acl` and `client.subscribe` it takes part in: these decisions are
    # refused while it is to run and cannot be loaded. () for none; None: not said, and then all of them are.
    decides: ClassVar[Sequence[str] | None] = None
    # Why it cannot be unloaded, as a sentence; empty for all ordinary plugins.
    stays: ClassVar[str] = ""

    def __init__(self, host: Host) -> None:
        self.host = host

    def load(self) -> None:
        """Begins the service. What it raises is the answer to whoever asked, and leaves everything as it was."""

    def unload(self) -> None:
        """Ends what the host does not know of."""

    def routes(self) -> Sequence[Route]:
        """Asked once, after `load`."""
        return ()

    def figures(self) -> Iterable[Figure]:
        """Asked each time that somebody reads `/metrics`."""
        return ()

    def forget(self, client: Client | None = None) -> None:
        """What it remembers of answers about a client, or about all of them, no longer counts."""

    def reauthorize(self, client: Client) -> bool | Unavailable | None:
        """Whether a client that is connected is a super user, asked anew without its password; None: it cannot say."""
        return None

    def changed(self, key: str) -> None:
        """The hot setting `key` has a new value."""
