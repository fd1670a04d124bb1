"""What a command prints: tables for people, and with --json what scripts read."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
MEASURED = 1000     # rows by which the columns of a table are as wide as they are
GAP = "  "


class Output:
    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def table(self, rows: Iterable[Mapping[str, Any]], *columns: str) -> None:
        """These members of the rows, or all of them as a JSON array."""
        if self.as_json:
            print_array(rows)
            return
        first = iter(rows)
        measured = [cells(row, columns) for row in islice(first, MEASURED)]
        heads = [column.upper() for column in columns]
        widths = [max(map(width, column)) for column in zip(heads, *measured, strict=True)]
        for line in chain([heads], measured, (cells(row, columns) for row in first)):
            click.echo(GAP.join(map(padded, line, widths)).rstrip())

    def members(self, row: Mapping[str, Any]) -> None:
        """A member a line."""
        if self.as_json:
            click.echo(json_text(row))
            return
        longest = max(map(len, row), default=0)
        for name, value in row.items():
            click.echo(f"{name:<{longest}}{GAP}{shown(value)}".rstrip())

    def listing(self, values: Iterable[str]) -> None:
        """A value a line."""
        if self.as_json:
            print_array(values)
            return
        for value in values:
            click.echo(shown(value))

    def done(self, sentence: str, **result: Any) -> None:
        """What was done; a script gets the result's members, or an empty object."""
        click.echo(json_text(result) if self.as_json else sentence)


def print_array(items: Iterable[Any]) -> None:
    """Item by item: there may be as many as there are clients."""
    lead = "["
    for item in items:
        click.echo(lead + json_text(item), nl=False)
        lead = ",\n"
    click.echo("]" if lead != "[" else "[]")


def json_text(value: Any) -> str:
    """ASCII: whatever clients have chosen commands no terminal."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def cells(row: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    return [shown(row.get(column)) for column in columns]


def shown(value: Any) -> str:
    """On one line, and without what commands a terminal: clients choose their names."""
    if value is None or value == "undefined":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict):
        return json_text(value)
    text = str(value)
    return text if text.isprintable() else "".join(escaped(text))


def escaped(text: str) -> Iterator[str]:
    for char in text:
        yield char if char.isprintable() else char.encode("unicode_escape").decode()


def width(text: str) -> int:
    """In columns of a terminal."""
    return len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text if char > "\u1100")


def padded(text: str, to: int) -> str:
    return text + " " * (to - width(text))
