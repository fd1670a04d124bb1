"""GET /api-spec.json: an OpenAPI 3.1 document made from the route table that serves the requests.

It describes the answers in the style that its own request chooses, as any request may.
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
from emqx_mgmt.api.filters import fields_in_order
from emqx_mgmt.api.paging import COUNT, COUNTS, SORT, Chosen, Paged
from emqx_mgmt.api.render import Code, Counters, Created, Done, Download, EventStream, plain
from emqx_mgmt.manage.listing import Page

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
TEXT: Schema = {"text/plain": {"schema": {"type": "string"}}}
EVENTS: Schema = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
BINARY: Schema = {"schema": {"type": "string", "format": "binary"}}
ARCHIVE: Schema = {"content": {"application/zip": BINARY}}
ANY_FILE: Schema = {"content": {"application/octet-stream": BINARY}}
MESSAGE: Schema = {"type": "string"}
CODE: Schema = {"type": "integer"}
OK: Schema = {"const": 0}
META: Schema = {
    "type": "object",
    "properties": {name: {"type": "integer"} for name in ("page", "limit", "count")} | {"hasnext": {"type": "boolean"}},
    "required": ["page", "limit"],
    "oneOf": [{"required": ["count"]}, {"required": ["hasnext"]}],
}
COUNTERS: Schema = {"type": "object", "additionalProperties": {"type": ["integer", "string", "object"]}}
DESCRIPTIONS = {
    "200": "Done",
    "201": "Created",
    "400": "The body is not what it should be",
    "401": "No valid credentials",
    "403": "The caller's role, or the application's scopes, do not allow it",
    "404": "No such path or name",
    "408": "The body did not come in time",
    "413": "The body is too large",
    "414": "The path is too long",
    "422": "A parameter is missing or bad",
    "500": "Well formed, and yet it cannot be done",
}


def blueprint(endpoints: Callable[[], Iterable[Endpoint]]) -> flask.Blueprint:
    """`endpoints()` returns the endpoints that are served now."""
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
        "servers": [{"url": "."}],  # relative to the document's own path, which a proxy may have prefixed
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

    def members(self, struct: type[Struct]) -> dict[str, Schema]:
        """The schemas of a Struct's members, by name."""
        name = self.of(struct)["$ref"].rpartition("/")[2]
        properties: dict[str, Schema] = self.components[name]["properties"]
        return properties


def _types(endpoint: Endpoint) -> Iterable[Any]:
    if isinstance(endpoint.takes, Paged):
        yield endpoint.takes.row
        yield endpoint.takes.widest
    elif isinstance(endpoint.takes, Chosen):
        yield endpoint.takes.row
    elif endpoint.shape is not None:
        yield endpoint.shape
    if endpoint.row is not None:
        yield endpoint.row
    result = _result(endpoint)
    if result not in (Any, Done, Code, Created, Download, EventStream, Page, Counters, list[Counters]):
        yield result


def _result(endpoint: Endpoint) -> Any:
    """The type that the handler's annotation says it returns."""
    return typing.get_type_hints(endpoint.handler).get("return", Any)


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 2, name
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    taken.add(unique)
    return unique


def _operation(endpoint: Endpoint, described: Described, envelope: bool) -> Schema:
    takes, reads = endpoint.shape, endpoint.method in ("GET", "DELETE")
    parameters = [_parameter(name, "path", {"type": "string"}) for name in re.findall(r":(\w+)", endpoint.path)]
    operation: Schema = {"summary": endpoint.descr, "tags": [endpoint.resource], "parameters": parameters}
    if isinstance(endpoint.takes, Paged):
        parameters += _list_parameters(endpoint.takes.widest, described)
    elif isinstance(endpoint.takes, Chosen):
        parameters += _filters(endpoint.takes.row, described)
    elif takes is not None and reads:
        parameters += _query_parameters(takes, described)
    elif takes is not None:
        schema = described.of(takes)
        operation["requestBody"] = _json({"type": "array", "items": schema} if endpoint.batch else schema)
    elif endpoint.upload:
        operation["requestBody"] = ANY_FILE
    if endpoint.public:
        operation["security"] = []
    operation["responses"] = _responses(endpoint, described, envelope)
    return operation


def _parameter(name: str, where: str, schema: Schema, required: bool = True) -> Schema:
    return {"name": name, "in": where, "required": required, "schema": schema}


def _query_parameters(takes: type[Struct], described: Described) -> list[Schema]:
    members = described.members(takes)
    return [
        _parameter(field.encode_name, "query", members[field.encode_name], field.required)
        for field in msgspec.structs.fields(takes)
    ]


def _list_parameters(row: type[Struct], described: Described) -> list[Schema]:
    """The parameters for pages and for filters by the members of rows. Filters of fields that are not listed here work
    too."""
    pages = [_parameter(name, "query", {"type": "integer"} | least, False)
             for name, least in (("_page", {}), ("_limit", {"minimum": 1}))]
    orders = [f"{sign}{name}" for name in fields_in_order(row) for sign in ("", "-")]
    pages += [_parameter(name, "query", {"type": "string", "enum": words}, False)
              for name, words in ((SORT, orders), (COUNT, list(COUNTS)))]
    return pages + _filters(row, described)


def _filters(row: type[Struct], described: Described) -> list[Schema]:
    filters = {name: schema for name, schema in described.members(row).items() if "type" in schema}
    if "topic" in filters:
        filters["_match_topic"] = {"type": "string"}
    return [_parameter(name, "query", schema, False) for name, schema in filters.items()]


def _responses(endpoint: Endpoint, described: Described, envelope: bool) -> Schema:
    result = _result(endpoint)
    answers: dict[str, Schema] = {status: {"content": TEXT} for status in ("401", "404", "408")}
    answers["414"] = {"content": {"text/html": {"schema": {"type": "string"}}}}
    if envelope:
        failure = _object(code={"type": "integer", "minimum": 1}, message=MESSAGE)
        answers["200"] = _json({"anyOf": [_enveloped(result, endpoint, described), failure]})
    else:
        answers["201" if result is Created else "200"] = _json(_bare(result, endpoint, described))
        malformed = _json(_object(message=MESSAGE, errorCode=CODE))
        answers |= dict.fromkeys(("400", "413", "422"), malformed)
        if not endpoint.public:
            answers["403"] = _json(_object(message=MESSAGE))
        if endpoint.refuses:
            answers["500"] = _json({"anyOf": [_object(message=MESSAGE), _object(code=CODE)]})
    if result is EventStream:
        answers["200"] = EVENTS
    if result is Download:
        answers["200"] = ARCHIVE
    return {status: {"description": DESCRIPTIONS[status]} | answers[status] for status in sorted(answers)}


def _bare(result: Any, endpoint: Endpoint, described: Described) -> Schema:
    if result is Done:
        return {"const": "ok"}
    if result is Code:
        return _object(code=CODE)
    if result is Page:
        return _object(items=_rows(endpoint, described), meta=META)
    if result is Counters:
        return COUNTERS
    if result == list[Counters]:
        return {"type": "array", "items": COUNTERS}
    return described.of(result)


def _enveloped(result: Any, endpoint: Endpoint, described: Described) -> Schema:
    if result in (Done, Code):
        return _object(code=OK)
    if result is Page:
        return _object(code=OK, data=_rows(endpoint, described), meta=META)
    return _object(code=OK, data=_bare(result, endpoint, described))


def _rows(endpoint: Endpoint, described: Described) -> Schema:
    row = endpoint.takes.row if isinstance(endpoint.takes, Paged) else endpoint.row
    return {"type": "array", "items": described.of(row)}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}
