"""`_page`, `_limit` and the filters of the paged lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
from flask import current_app
from msgspec import Struct

from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.api.filters import conditions
from emqx_mgmt.manage.listing import Paging

# Longer numbers mean nothing here and cost to read.
LONGEST = 15
_INTEGER = re.compile(rf"-?[0-9]{{1,{LONGEST}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Paged:
    """What a list of these rows takes."""

    row: type[Struct]

    def __call__(self, given: dict[str, Any]) -> Paging:
        return msgspec.structs.replace(paging(given), where=conditions(given, self.row))


def paging(given: dict[str, Any]) -> Paging:
    """Any page number is echoed, and all below 1 mean the first; the limit is not capped."""
    limit = _integer(given, "_limit", current_app.config["MAX_ROW_LIMIT"])
    if limit < 1:
        raise BadParameter("_limit", "must be at least 1")
    return Paging(_integer(given, "_page", 1), limit)


def _integer(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not _INTEGER.fullmatch(str(value)):
        raise BadParameter(name, f"must be an integer of at most {LONGEST} digits")
    return int(value)
