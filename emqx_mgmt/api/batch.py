"""Many rows in one request, each with its own result: a bad row does not prevent the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from emqx_mgmt.api.errors import ParameterError
from emqx_mgmt.api.parameters import converted
from emqx_mgmt.manage.errors import NOT_JSON, RequestRefused
from emqx_mgmt.manage.listing import in_turns

# Members of a row that its result repeats, so that a caller can match the two.
SHOWN = ("topic", "topics", "client_id")


def each(rows: Sequence[Any], to: type[Struct], act: Callable[[Any], object]) -> list[dict[str, Any]]:
    """The results in the order of the rows: code 0, or another code with a message."""
    return [_result(row, to, act) for row in in_turns(rows)]


def _result(row: Any, to: type[Struct], act: Callable[[Any], object]) -> dict[str, Any]:
    if not isinstance(row, dict):
        return {"code": NOT_JSON, "message": "each row must be a JSON object"}
    shown = {name: row[name] for name in SHOWN if name in row}
    try:
        act(converted(row, to))
    except ParameterError as error:
        return shown | {"code": error.code, "message": str(error)}
    except RequestRefused as error:
        return shown | {"code": error.code, "message": error.message}
    return shown | {"code": 0}
