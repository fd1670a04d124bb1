"""`_page`, `_limit`, `_sort`, `_count` and the filters of the paged lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import current_app, request
from msgspec import Struct

from emqx_mgmt.api.errors import BadParameter, MissingParameter
from emqx_mgmt.api.filters import conditions, field_of, fields_in_order
from emqx_mgmt.api.style import extended
from emqx_mgmt.manage import Cluster
from emqx_mgmt.manage.listing import Paging, Sort, Test

# No longer number has a meaning here, and converting one takes long.
LONGEST = 15
_INTEGER = re.compile(rf"-?[0-9]{{1,{LONGEST}}}", re.ASCII)


SORT, COUNT, COUNTS = "_sort", "_count", {"yes": True, "no": False}
CLIENT_ID = "client_id"


@dataclass(frozen=True, slots=True)
class Paged:
    """The parameters of a list of `row`. `extended` is the type of its rows with `_fields=extended`, where that has
    more members."""

    row: type[Struct]
    extended: type[Struct] | None = None

    @property
    def widest(self) -> type[Struct]:
        return self.extended or self.row

    def __call__(self, given: dict[str, Any]) -> Paging:
        row = self.widest if extended() else self.row
        return msgspec.structs.replace(
            paging(given), where=conditions(given, row), sort=_sort(given, row), counted=_counted(given),
            client_id=_client_id(given, row))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The conditions of filters. At least one is required, so that a forgotten parameter does not delete all rows."""

    row: type[Struct]

    def __call__(self, given: dict[str, Any]) -> tuple[Test, ...]:
        where = conditions(given, self.row)
        if not where:
            raise MissingParameter(f"that chooses rows, one of {', '.join(fields_in_order(self.row))}")
        return where


def filters_shown(_cluster: Cluster, given: dict[str, Any], **_path: str) -> dict[str, Any]:
    """The filters of a call, for the audit record."""
    return given


def paging(given: dict[str, Any]) -> Paging:
    """`_page` and `_limit`. The answer repeats any page number; numbers below 1 mean the first page. The limit has no
    maximum."""
    limit = _integer(given, "_limit", current_app.config["MAX_ROW_LIMIT"])
    if limit < 1:
        raise BadParameter("_limit", "must be at least 1")
    return Paging(_integer(given, "_page", 1), limit)


def _sort(given: dict[str, Any], row: type[Struct]) -> Sort | None:
    wanted = given.get(SORT)
    if wanted is None:
        return None
    name = wanted.removeprefix("-") if isinstance(wanted, str) else ""
    field = field_of(row, name)
    names = fields_in_order(row)
    if field not in names.values():
        raise BadParameter(SORT, f"must be one of {', '.join(names)}, descending with - before it")
    return Sort(field, wanted.startswith("-"))


def _counted(given: dict[str, Any]) -> bool:
    wanted = given.get(COUNT, "yes")
    if not isinstance(wanted, str) or wanted not in COUNTS:
        raise BadParameter(COUNT, f"must be one of {', '.join(COUNTS)}")
    return COUNTS[wanted]


def _client_id(given: dict[str, Any], row: type[Struct]) -> str | None:
    """The client id of an exact filter, where that has one value."""
    for name, value in given.items():
        if field_of(row, name) == CLIENT_ID:
            values = request.args.getlist(name) or [value]
            if len(values) == 1 and isinstance(values[0], str):
                return values[0]
    return None


def _integer(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not _INTEGER.fullmatch(str(value)):
        raise BadParameter(name, f"must be an integer of at most {LONGEST} digits")
    return int(value)
