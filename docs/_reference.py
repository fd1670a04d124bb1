"""Pages of the site that are made from the code itself: settings, endpoints, commands.

    python docs/_reference.py      prints {name of a page: its Markdown} as JSON

In a process of its own, because the command line patches the standard library for gevent.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from emqx_mgmt import api, cli
from emqx_mgmt.api.openapi import document
from emqx_mgmt.plugins.catalogue import SHIPPED_PACKAGE, Catalogue
from emqx_mgmt.plugins.plugin import Plugin
from emqx_mgmt.settings.hot import HOT_KEYS
from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.kinds import ACL_FILE, PATH, WORDS, Kind
from emqx_mgmt.settings.table import GLOBAL, LISTENER, MODULE, ZONE

SECTIONS = (("Node and protocol", GLOBAL), ("Modules", MODULE), ("Listeners and APIs", LISTENER), ("Zones", ZONE))
# Kinds that refuse no text and mean more than a text; most others say themselves what a value must be.
ANY_TEXT = ((PATH, "a path"), (ACL_FILE, "a path"), (WORDS, "words with commas or spaces between"))
# Texts that no other kind takes.
BAD = ("\0", "+")
PLUGINS = {plugin.name: plugin for plugin in Catalogue().all() if plugin.__module__.startswith(SHIPPED_PACKAGE)}


def pages() -> dict[str, str]:
    return {"configuration-reference.md": configuration(), "rest-reference.md": rest(), "cli-reference.md": commands()}


def cell(text: str) -> str:
    """As a cell of a Markdown table; what is between backticks stays as it is."""
    parts = " ".join(text.replace("\b", "").split()).split("`")
    return "`".join(re.sub(r"([|<>*_\\])", r"\\\1", part) if at % 2 == 0 else part for at, part in enumerate(parts))


def code(text: str) -> str:
    shown = text.replace("|", "&#124;")
    return f"<code>{shown}</code>" if shown != text else f"`{text}`"


# -- settings -----------------------------------------------------------------------------------------------


def accepted(kind: Kind) -> str:
    """What a value of this kind is, in the words with which the broker refuses others."""
    for known, words in ANY_TEXT:
        if kind is known:
            return words
    for text in BAD:
        try:
            kind.parse(text)
        except ValueError as error:
            return str(error).removeprefix("must be ").removeprefix("has ")
    return "text"


def default(key: Key) -> str:
    if key.twin and key.default is None:
        return f"as {code(key.twin)}"
    others = [f"{word}: {code(text)}" for word, text in key.named.items()]
    own = code(key.default) if key.default else "empty"
    return "; ".join([own, *others])


def table(keys: Iterable[Key], hot: dict[str, str]) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for key in keys:
        meaning = cell(key.doc)
        if key.name in hot:
            meaning += f" **Hot**{hot[key.name]}."
        if key.secret:
            meaning += " Secret: never shown."
        yield f"| {code(key.name)} | {cell(accepted(key.kind))} | {default(key)} | {meaning} |"


def names_over_rest() -> dict[str, str]:
    """Of keys that are hot in the zone external, or everywhere: how `PUT /configs/emqx` calls them."""
    found = {}
    for hot in HOT_KEYS:
        in_zone = hot.key.startswith("zone.external.")
        where = " in the zone external" if in_zone else ""
        known_as = f", over REST {code(hot.name)}" if hot.name != hot.key else ""
        found[hot.key.replace("zone.external.", "zone.$zone.")] = f"{where}{known_as}"
    return found


def configuration() -> str:
    lines = ["# Configuration reference", "",
             "Every key of `etc/emqx.conf`, made from the table that the broker reads it by. [Configuration]"
             "(configuration.md) says where values come from and which one counts.", "",
             "In a key, `$zone`, `$name`, `$n` and `$component` stand for a word that you choose (lower-case letters, "
             "digits, `_`). **Hot** settings also change while the broker runs, by `PUT /api/v3/configs/emqx`; all "
             "others take effect with `HUP`, which starts a new worker, and the addresses of listeners with the next "
             "start. A duration without a unit is in seconds, a size without one in bytes.", ""]
    for title, keys in SECTIONS:
        lines += [f"## {title}", "", *table(keys, names_over_rest()), ""]
    lines += ["## Plugins", "", "Each plugin's keys are in `etc/plugins/<plugin>.conf`. **Hot** ones also change by "
              "`PUT /api/v3/configs/<plugin>`; a change to the others restarts the plugin. [Plugins]"
              "(shipped-plugins.md) has an example for each.", ""]
    for name, plugin in sorted(PLUGINS.items()):
        if plugin.settings:
            lines += [f"### {name}", "", *settings_of(plugin), ""]
    return "\n".join(lines)


def settings_of(plugin: type[Plugin]) -> Iterator[str]:
    return table(plugin.settings, {key.name: "" for key in plugin.settings if key.hot})


# -- REST ---------------------------------------------------------------------------------------------------


def rest() -> str:
    described = document([one for resource in api.RESOURCES for one in resource.ENDPOINTS], envelope=False)
    by_resource: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            by_resource.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    schemas = described["components"]["schemas"]
    lines = ["# REST reference", "",
             "Made from the OpenAPI document that a broker serves at `/api-spec.json`; `/api-docs` on a running broker "
             "tries each call. Answers are shown bare; [Management API](api.md) describes the other style, credentials "
             "and roles. Any call may also end with 401, 403, 404, 408 or 414.", ""]
    for resource, operations in sorted(by_resource.items()):
        lines += [f"## {resource}", ""]
        for method, path, operation in operations:
            lines += [f"### {method} {path}", "", f"{operation['summary']}.".replace("..", "."), ""]
            lines += takes(operation, schemas)
            lines += answers(operation, schemas)
    lines += ["## Schemas", ""]
    for name, schema in sorted(schemas.items()):
        if "properties" in schema:
            lines += [f"### Schema {short(name)}", "", *members(schema), ""]
    return "\n".join(lines)


def short(schema: str) -> str:
    """Names that two modules have are told apart by the module."""
    return ".".join(schema.split(".")[-2:])


def takes(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    if operation["parameters"]:
        yield from ("| parameter | in | type |", "| --- | --- | --- |")
        for one in operation["parameters"]:
            needed = "" if one["required"] else ", optional"
            yield f"| {code(one['name'])} | {one['in']} | {kind_of(one['schema'])}{needed} |"
        yield ""
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body ({code(media)}): {kind_of(body['schema'])}."
        yield ""


def answers(operation: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    for status in ("200", "201"):
        for media, body in operation["responses"].get(status, {}).get("content", {}).items():
            yield f"Answer {status} ({code(media)}): {kind_of(body['schema'])}."
            yield ""


def kind_of(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = short(schema["$ref"].rpartition("/")[2])
        return f"[{cell(name)}](#schema-{name.lower().replace('.', '')})"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(one) for one in schema["anyOf"]))
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return "one of " + ", ".join(code(json.dumps(word)) for word in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return "array of " + ", ".join(kind_of(one) for one in schema["prefixItems"])
        return f"array of {kind_of(schema.get('items', {}))}"
    if schema.get("properties"):
        return "{" + ", ".join(f"{code(name)}: {kind_of(one)}" for name, one in schema["properties"].items()) + "}"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else kind


def members(schema: dict[str, Any]) -> Iterator[str]:
    if schema.get("description"):
        yield from (cell(schema["description"]), "")
    yield from ("| member | type | |", "| --- | --- | --- |")
    for name, one in schema["properties"].items():
        needed = "required" if name in schema.get("required", ()) else ""
        if not needed and one.get("default") not in (None, "", [], {}):
            needed = f"default {code(json.dumps(one['default']))}"
        yield f"| {code(name)} | {kind_of(one)} | {needed} |"


# -- command line -------------------------------------------------------------------------------------------


def commands() -> str:
    lines = ["# Command line reference", "",
             "Made from the commands themselves; `emqx-mgmt <command> --help` prints the same. [Operation]"
             "(operation.md) has the exit codes.", ""]
    for path, command in tree(cli.main, ("emqx-mgmt",)):
        if not isinstance(command, click.Group) or command is cli.main or command.params:
            lines += section(path, command)
    return "\n".join(lines)


def tree(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path[-1])
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            if not child.hidden:
                yield from tree(child, (*path, name))


def section(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    yield from (f"## {' '.join(path)}", "")
    yield from ("```", f"{' '.join(path)} {' '.join(command.collect_usage_pieces(context))}", "```", "")
    yield from (cell(command.help or ""), "")
    options = [record for one in command.get_params(context) if (record := one.get_help_record(context))]
    if options:
        yield from ("| option | |", "| --- | --- |")
        for flags, meaning in options:
            yield f"| {code(flags)} | {cell(meaning)} |"
        yield ""


if __name__ == "__main__":
    json.dump(pages(), sys.stdout)
