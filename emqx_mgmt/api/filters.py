"""Filters of the paged lists, by the names of v4.1: `field=`, `_like_field=`, `_gte_field=`, `_lte_field=` and
`_match_topic=`.

A filter whose name is not that of a field is ignored, like every unknown parameter. An exact filter that is given
several times, or as a list in the body, passes rows with any of its values.
"""

from __future__ import annotations

import time
import typing
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import msgspec
from flask import request
from msgspec import Struct

from emqx_mgmt.api.errors import BadParameter
from emqx_mgmt.broker.telemetry.about import moment_text
from emqx_mgmt.manage.listing import Test
from router_ext.protocol.topic import topic_matches, valid_filter

# v4.1's names of fields that have another name in v3.
ALIASES = {"clientid": "client_id", "ip_address": "ipaddress"}
# Fields that show a date as text; a bound may also be unix seconds.
DATES = ("at", "connected_at", "created_at", "published_at")
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
LAST_YEAR = 9999
DATES_ONLY = f"must be unix seconds or YYYY-MM-DD HH:MM:SS, up to the year {LAST_YEAR}"
MATCH = "_match_topic"
ORDERED = (str, int, float, bool, int | str)


def conditions(given: dict[str, Any], row: type[Struct]) -> tuple[Test, ...]:
    """The conditions that a row must fulfil. Raises BadParameter for a value that the field cannot have."""
    return tuple(_conditions(given, row))


def _conditions(given: dict[str, Any], row: type[Struct]) -> Iterator[Test]:
    kinds = typing.get_type_hints(row)
    for name, value in given.items():
        if name == MATCH and field_of(row, "topic"):
            yield _match(value)
            continue
        make, shown = _operator(name)
        field = field_of(row, shown)
        if field:
            yield make(name, field, kinds[field], value)


def field_of(row: type[Struct], name: str) -> str:
    """The field that a parameter's name stands for; empty where there is none."""
    fields = _fields(row)
    return fields.get(name) or fields.get(ALIASES.get(name, ""), "")


@lru_cache
def _fields(row: type[Struct]) -> dict[str, str]:
    return {field.encode_name: field.name for field in msgspec.structs.fields(row)}


@lru_cache
def fields_in_order(row: type[Struct]) -> dict[str, str]:
    """The fields whose values have an order, by their names in rows."""
    kinds = typing.get_type_hints(row)
    return {shown: field for shown, field in _fields(row).items() if kinds[field] in ORDERED}


def _operator(name: str) -> tuple[Callable[[str, str, Any, Any], Test], str]:
    for prefix, make in (("_like_", _like), ("_gte_", _at_least), ("_lte_", _at_most)):
        if name.startswith(prefix):
            return make, name.removeprefix(prefix)
    return _equal, name


def _equal(name: str, field: str, kind: Any, value: Any) -> Test:
    values = request.args.getlist(name) or (value if isinstance(value, list) else [value])
    wanted = frozenset(_converted(name, one, kind) for one in values)
    return lambda row: getattr(row, field) in wanted


def _like(name: str, field: str, kind: Any, value: Any) -> Test:
    if kind is not str:
        raise BadParameter(name, f"{field} is no text")
    part = _converted(name, value, str)
    return lambda row: part in getattr(row, field)


def _at_least(name: str, field: str, kind: Any, value: Any) -> Test:
    bound = _bound(name, field, kind, value)
    return lambda row: isinstance(getattr(row, field), type(bound)) and getattr(row, field) >= bound


def _at_most(name: str, field: str, kind: Any, value: Any) -> Test:
    bound = _bound(name, field, kind, value)
    return lambda row: isinstance(getattr(row, field), type(bound)) and getattr(row, field) <= bound


def _bound(name: str, field: str, kind: Any, value: Any) -> Any:
    if field in DATES:
        return _date(name, str(value))
    if kind not in (int, float, int | str):
        raise BadParameter(name, f"{field} is neither a number nor a date")
    return _converted(name, value, float if kind is float else int)


def _date(name: str, value: str) -> str:
    """The date in the format of rows. Texts in this format sort like their dates."""
    try:
        if value.isascii() and value.isdecimal():
            moment = time.localtime(int(value))
        else:
            moment = time.strptime(value.replace("T", " "), DATE_FORMAT)
    except (ValueError, OverflowError, OSError):
        raise BadParameter(name, DATES_ONLY) from None
    if moment.tm_year > LAST_YEAR:
        raise BadParameter(name, DATES_ONLY)
    return moment_text(moment)


def _match(value: Any) -> Test:
    """A value with wildcards passes rows whose topic it matches. A value without passes rows whose filter matches this
    topic."""
    if not isinstance(value, str) or not valid_filter(value):
        raise BadParameter(MATCH, "must be a valid topic or topic filter")
    if "+" in value or "#" in value:
        return lambda row: topic_matches(value, row.topic)
    return lambda row: topic_matches(row.topic, value)


def _converted(name: str, value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        raise BadParameter(name, text[0].lower() + text[1:]) from None
