"""GET /api-spec.json: an OpenAPI 3.1 document made from the route table that serves the requests.

It describes the answers in the style that the request for it chooses, as any request does.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable
from typing import Any

import flask
import msgspec
from msgspec import Struct

from emqx_mgmt.api.endpoint import PREFIX, Endpoint
from emqx_mgmt.api.paging import Paged
from emqx_mgmt.api.render import Code, Counters, Created, Done, EventStream, plain
from emqx_mgmt.manage.listing import Page

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
TEXT: Schema = {"text/plain": {"schema": {"type": "string"}}}
EVENTS: Schema = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
FAILURE: Schema = {
    "type": "object",
    "properties": {"message": {"type": "string"}, "errorCode": {"type": "integer"}, "code": {"type": "integer"}},
}
META: Schema = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("page", "limit", "count")},
    "required": ["page", "limit", "count"],
}
COUNTERS: Schema = {"type": "object"}
DESCRIPTIONS = {
    "200": "Done",
    "201": "Created",
    "400": "The body is not JSON",
    "401": "No valid credentials",
    "404": "No such path or name",
    "413": "The body is too large",
    "422": "A parameter is missing or bad",
    "500": "Refused, or a fault of the broker",
}


def blueprint(endpoints: Callable[[], Iterable[Endpoint]]) -> flask.Blueprint:
    """`endpoints()` has those that are served now."""
    openapi = flask.Blueprint("openapi", __name__)

    @openapi.get("/api-spec.json", provide_automatic_options=False)
    def spec() -> flask.Response:
        return plain(document(endpoints(), flask.g.style == "envelope"))

    return openapi


def document(endpoints: Iterable[Endpoint], envelope: bool) -> Schema:
    served = [one for one in endpoints if one.handler is not None]
    described = Described(one for endpoint in served for one in _types(endpoint))
    paths: dict[str, Schema] = {}
    names: set[str] = set()
    for endpoint in served:
        path = f"{PREFIX}/" + re.sub(r":(\w+)", r"{\1}", endpoint.path.strip("/"))
        operation = _operation(endpoint, described, envelope)
        operation["operationId"] = _unique(endpoint.name, names)
        paths.setdefault(path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "EMQ X 3.0 management API", "version": "3.0"},
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "schemas": described.components,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


class Described:
    """The schemas of types, by type."""

    def __init__(self, types: Iterable[Any]) -> None:
        listed = list(dict.fromkeys(types))
        schemas, self.components = msgspec.json.schema_components(listed, ref_template=REF)
        self._schemas = dict(zip(listed, schemas, strict=True))

    def of(self, kind: Any) -> Schema:
        return self._schemas.get(kind, {})


def _types(endpoint: Endpoint) -> Iterable[Any]:
    takes = endpoint.takes
    if isinstance(takes, Paged):
        yield takes.row
    elif isinstance(takes, type):
        yield takes
    result = _result(endpoint)
    if result not in (Any, Done, Code, Created, EventStream, Page, Counters, list[Counters]):
        yield result


def _result(endpoint: Endpoint) -> Any:
    """What the handler says it returns."""
    return typing.get_type_hints(endpoint.handler).get("return", Any)


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def _operation(endpoint: Endpoint, described: Described, envelope: bool) -> Schema:
    takes, reads = endpoint.takes, endpoint.method in ("GET", "DELETE")
    parameters = [_parameter(name, "path", {"type": "string"}) for name in re.findall(r":(\w+)", endpoint.path)]
    operation: Schema = {"summary": endpoint.descr, "parameters": parameters}
    if isinstance(takes, Paged):
        parameters += _list_parameters(takes.row)
    elif isinstance(takes, type) and reads:
        parameters += _query_parameters(takes)
    elif isinstance(takes, type):
        schema = described.of(takes)
        operation["requestBody"] = _json({"type": "array", "items": schema} if endpoint.batch else schema)
    elif takes is not None and not reads:
        operation["requestBody"] = _json({"type": "object"})
    if endpoint.public:
        operation["security"] = []
    operation["responses"] = _responses(endpoint, described, envelope)
    return operation


def _parameter(name: str, where: str, schema: Schema, required: bool = True) -> Schema:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _query_parameters(takes: type[Struct]) -> list[Schema]:
    return [
        _parameter(field.encode_name, "query", {}, field.required) for field in msgspec.structs.fields(takes)
    ]


def _list_parameters(row: type[Struct]) -> list[Schema]:
    fields = [field.encode_name for field in msgspec.structs.fields(row)]
    names = fields + (["_match_topic"] if "topic" in fields else [])
    pages = [_parameter(name, "query", {"type": "integer"}, False) for name in ("_page", "_limit")]
    return pages + [_parameter(name, "query", {}, False) for name in names]


def _responses(endpoint: Endpoint, described: Described, envelope: bool) -> Schema:
    result, status = _result(endpoint), "200"
    if envelope:
        success = _enveloped(result, endpoint, described)
    else:
        success = _bare(result, endpoint, described)
        status = "201" if result is Created else "200"
    failures: Schema = {"400": _json(FAILURE), "413": _json(FAILURE), "422": _json(FAILURE), "500": _json(FAILURE)}
    failures["500"]["content"] |= TEXT
    if envelope:
        success = {"anyOf": [success, FAILURE]}
        failures = {"500": {"content": TEXT}}
    failures |= {"401": {"content": TEXT}, "404": {"content": TEXT}}
    done = EVENTS if result is EventStream else _json(success)
    answers = {status: done, **failures}
    return {status: {"description": DESCRIPTIONS[status]} | answer for status, answer in answers.items()}


def _bare(result: Any, endpoint: Endpoint, described: Described) -> Schema:
    if result is Done:
        return {"const": "ok"}
    if result is Code:
        return {"type": "object", "properties": {"code": {"type": "integer"}}, "required": ["code"]}
    if result is Page:
        return _object(items=_rows(endpoint, described), meta=META)
    if result is Counters:
        return COUNTERS
    if result == list[Counters]:
        return {"type": "array", "items": COUNTERS}
    return described.of(result)


def _enveloped(result: Any, endpoint: Endpoint, described: Described) -> Schema:
    code = {"type": "integer"}
    if result in (Done, Code):
        return _object(code=code)
    if result is Page:
        return _object(code=code, data=_rows(endpoint, described), meta=META)
    return _object(code=code, data=_bare(result, endpoint, described))


def _rows(endpoint: Endpoint, described: Described) -> Schema:
    row = described.of(endpoint.takes.row) if isinstance(endpoint.takes, Paged) else {}
    return {"type": "array", "items": row}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}
