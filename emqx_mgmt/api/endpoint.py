"""One entry of the route table: what the index shows, the rule that Flask routes by, and the handler."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

PREFIX = "/api/v3"
# What v3.1 calls otherwise.
SAME = {"connection": "connections"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is shown in the index exactly as written here; slashes at its ends mean nothing to the router.

    The handler is called with the cluster, the path's parameters by name, and `params` as described by
    `takes`: a Struct to check and convert them to, or a function from the merged parameters to whatever it
    wants. With `batch`, the body is a JSON array: `takes` is what its members should be, and `params` the members
    as they came, for each has its own result. With `upload`, the body is a file of any length, which the handler
    gets as a stream. An endpoint without a handler is listed and not served.

    For the description: `described` says what is taken where `takes` is a function; `fails`, that also a GET may
    be refused, as everything else may.

    Calls are in the audit record unless the method is GET or the endpoint is not `audited`; secrets among the
    parameters are known by their names, or masked by `conceals(cluster, parameters, **path)`.

    `row`: of a list that does not take pages.

    `own` is the path's parameter that names a user of the dashboard, who may make the call for himself in any role.
    """

    name: str
    method: str
    path: str
    descr: str
    handler: Callable[..., Any] | None
    takes: type[Struct] | Callable[[dict[str, Any]], Any] | None = None
    public: bool = False
    listed: bool = True
    batch: bool = False
    described: type[Struct] | None = None
    fails: bool = False
    audited: bool = True
    upload: bool = False
    conceals: Callable[..., dict[str, Any]] | None = None
    own: str | None = None
    row: type[Struct] | None = None

    @property
    def shape(self) -> type[Struct] | None:
        """The parameters besides those of the path."""
        return self.takes if isinstance(self.takes, type) else self.described

    @property
    def refuses(self) -> bool:
        return self.fails or self.method != "GET"

    @property
    def resource(self) -> str:
        """The first word of the path, behind the node's if it names one."""
        words = self.path.strip("/").split("/")
        return words[2] if words[0] == "nodes" and len(words) > 2 else words[0]

    @property
    def scope(self) -> str:
        """The resource, under one name."""
        return SAME.get(self.resource, self.resource)

    @property
    def rule(self) -> str:
        return f"{PREFIX}/" + re.sub(r":(\w+)", r"<segment:\1>", self.path.strip("/"))
