"""Writes src/api-types.ts: the rows of the API's answers, from the OpenAPI document that the broker serves.

    .venv/bin/python dashboard/api_types.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emqx_mgmt import api
from emqx_mgmt.api.openapi import document

TARGET = Path(__file__).resolve().parent / "src" / "api-types.ts"
HEAD = "/** Made by api_types.py from the broker's OpenAPI document; do not change it here. */\n"
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def name_of(reference: str) -> str:
    """`emqx_mgmt.api.users.Shown` is UsersShown: modules tell namesakes apart."""
    *_, module, name = ("", *reference.rpartition("/")[2].split("."))
    return f"{module.title().replace('_', '')}{name}"


def type_of(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return name_of(schema["$ref"])
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(one) for one in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_of(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(dict.fromkeys(PLAIN.get(one, "object") for one in kind))
    if kind == "array":
        inner = type_of(schema["items"]) if schema.get("items") else "unknown"
        return f"({inner})[]" if " | " in inner else f"{inner}[]"
    if kind == "object":
        return f"Record<string, {type_of(schema.get('additionalProperties') or {})}>"
    return PLAIN.get(kind or "", "unknown")


def written() -> str:
    endpoints = [one for resource in api.RESOURCES for one in resource.ENDPOINTS]
    schemas = document(endpoints, envelope=False)["components"]["schemas"]
    parts = [HEAD]
    for reference, schema in sorted(schemas.items(), key=lambda item: name_of(item[0])):
        if "properties" not in schema:
            parts.append(f"export type {name_of(reference)} = {type_of(schema)};\n")
            continue
        needed = schema.get("required", ())
        members = "".join(f"  {name}{'' if name in needed else '?'}: {type_of(one)};\n"
                          for name, one in schema["properties"].items())
        parts.append(f"export interface {name_of(reference)} {{\n{members}}}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(written())
