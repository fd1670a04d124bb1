"""Parameters of a request: query pairs and the members of a JSON body in one table, the query first."""

from __future__ import annotations

import codecs
import re
import typing
from collections.abc import Callable
from typing import Any, Literal

import gevent
import msgspec
from flask import current_app, request
from gunicorn.http.errors import ParseException
from msgspec import Struct
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from emqx_mgmt.api.errors import BadParameter, MalformedBody, MissingParameter
from emqx_mgmt.api.paths import MALFORMED, MOST_PARAMETERS, TOO_MANY
from emqx_mgmt.api.style import SELECTORS
from router_ext.net.percent import percent_decoded

MAX_DEPTH = 64

_MISSING = re.compile(r"missing required field `([^`]*)`")
_UNKNOWN = re.compile(r"unknown field|invalid enum value", re.IGNORECASE)
_FORM = re.compile(rb"[\w.~+%*\[\]-]+=")
_MULTIPART = re.compile(rb"--[^\r\n]+\r?\nContent-Disposition:", re.IGNORECASE)
_PATH = re.compile(r" - at `\$\.?([^`]*)`")


def given() -> dict[str, Any]:
    """Everything that the caller sent, in the order received; the first value of a name wins.

    The body is read as JSON whatever its Content-Type.
    """
    if MALFORMED in request.environ:
        raise BadParameter("path", "is not valid UTF-8")
    if TOO_MANY in request.environ:
        raise BadParameter("query", f"has more than {MOST_PARAMETERS} parameters")
    try:
        percent_decoded(request.query_string).decode()
    except UnicodeDecodeError:
        raise BadParameter("query", "is not valid UTF-8") from None
    found: dict[str, Any] = {name: value for name, value in request.args.items() if name not in SELECTORS}
    for name, value in _body().items():
        found.setdefault(name, value)
    return found


def rows() -> list[Any]:
    """The members of a body that is a JSON array: the rows of a batch."""
    given = _json()
    if not isinstance(given, list):
        raise MalformedBody("the body must be a JSON array")
    return given


def converted(given: dict[str, Any], to: type[Struct] | Callable[[dict[str, Any]], Any]) -> Any:
    """`given` as the Struct `to`; raises MissingParameter and BadParameter naming the parameter."""
    if not isinstance(to, type):
        return to(given)
    try:
        # Not strict, because values of a query are text: `qos=1` means the same as `"qos": 1`.
        return msgspec.convert(given, to, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(str(error), to) from None


def _body() -> dict[str, Any]:
    body = _json()
    if not isinstance(body, dict):
        raise MalformedBody("the body must be a JSON object")
    return body


def _json() -> Any:
    """The body, `{}` when there is none."""
    try:
        with gevent.Timeout(current_app.config["BODY_TIMEOUT"], RequestTimeout):
            raw = request.get_data(cache=False)
    except ParseException:
        raise MalformedBody("the body is not chunked as RFC 9112 says") from None
    # Werkzeug cuts a body of unknown length at the limit.
    if request.content_length is None and len(raw) >= (request.max_content_length or len(raw) + 1):
        raise RequestEntityTooLarge
    if len(raw) < (request.content_length or 0):
        raise MalformedBody("the body is shorter than its Content-Length")
    raw = raw.removeprefix(codecs.BOM_UTF8)  # RFC 8259 section 8.1
    if not raw.strip():
        return {}
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(_instead_of_json(raw, str(error))) from None
    except RecursionError:
        raise MalformedBody("the body is nested too deeply") from None
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise MalformedBody("the body is nested too deeply")
    return body


def _instead_of_json(raw: bytes, reason: str) -> str:
    """Says what a body is that is not JSON. It looks at the bytes, because `curl -d` sends the Content-Type of a form
    with any body."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "the body is UTF-16: send JSON as UTF-8"
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"the body is not UTF-8, at byte {error.start} (it may be Latin-1): send JSON as UTF-8"
    if _FORM.match(raw):
        return "the body is a form (name=value): send a JSON object"
    if _MULTIPART.match(raw):
        return "the body is a form of several parts (multipart/form-data): send a JSON object"
    reason = reason.removeprefix("JSON is malformed: ")
    return f"the body is not valid JSON: {reason[0].lower()}{reason[1:]}"


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion and not beyond MAX_DEPTH + 1."""
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        level = [
            child
            for container in level
            if isinstance(container, dict | list)
            for child in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return depth
    return MAX_DEPTH + 1


def _refusal(text: str, to: type[Struct]) -> BadParameter | MissingParameter:
    missing = _MISSING.search(text)
    if missing:
        return MissingParameter(missing[1])
    at = _PATH.search(text)
    reason = _PATH.sub("", text)
    if _UNKNOWN.search(reason):
        reason = reason.replace("enum value", "value") + _allowed(_type_at(to, at[1] if at else ""))
    return BadParameter(at[1] if at else "body", reason[0].lower() + reason[1:])


def _type_at(kind: Any, path: str) -> Any:
    """The type at a path of nested members."""
    for name in filter(None, path.split(".")):
        members = msgspec.structs.fields(kind) if _is_struct(kind) else ()
        kind = next((field.type for field in members if field.encode_name == name), None)
        kind = next(filter(_is_struct, (kind, *typing.get_args(kind))), kind)
    return kind


def _allowed(kind: Any) -> str:
    """A sentence with the values that a type allows; empty where they cannot be listed."""
    words = _words(kind)
    if any(int in (part, getattr(part, "__origin__", None)) for part in typing.get_args(kind)):  # of Annotated[int, …]
        return f": must be {' or '.join(['an integer', *words])}"
    return f": must be one of {', '.join(words)}" if words else ""


def _words(kind: Any) -> list[str]:
    """The names that are allowed: the words of a Literal, or the members of a Struct."""
    if _is_struct(kind):
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    literals = [part for part in (kind, *typing.get_args(kind)) if typing.get_origin(part) is Literal]
    return [str(word) for literal in literals for word in typing.get_args(literal)]


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
