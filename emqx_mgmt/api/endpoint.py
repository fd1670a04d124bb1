"""One row of the route table: the entry of the index, Flask's rule, and the handler."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

PREFIX = "/api/v3"
# Parameters that v3.1 names differently.
SAME = {"connection": "connections"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The index shows `path` exactly as written here; the router ignores slashes at its ends.

    The handler is called with the cluster, the path's parameters by name, and `params`. `takes` says how `params` is
    made of the request's parameters: a Struct that they are checked against and converted to, or a function that
    converts them. With `batch`, the body is a JSON array; `takes` is the type of its members, and `params` has the
    members unconverted, since each gets its own result. With `upload`, the body is a file of any length, which the
    handler gets as a stream. An endpoint without a handler is listed but not served.

    For the OpenAPI document: `described` is the type of the parameters where `takes` is a function. `fails` says that a
    GET may be refused; other methods always may.

    A call is in the audit record unless its method is GET or the endpoint is not `audited`. Secret parameters are
    recognised by their names, or masked by `conceals(cluster, parameters, **path)`.

    `row` is the type of the rows of a list that is not paged.

    `own` is the parameter of the path that names a user of the dashboard. That user may make the call in any role.
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
        """The resource; v3.1's name is replaced by v3's."""
        return SAME.get(self.resource, self.resource)

    @property
    def rule(self) -> str:
        return f"{PREFIX}/" + re.sub(r":(\w+)", r"<segment:\1>", self.path.strip("/"))
