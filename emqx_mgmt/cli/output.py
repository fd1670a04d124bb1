"""The output of a command: tables, or JSON with --json."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import click

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
MEASURED = 1000     # rows from which the widths of the columns are computed
GAP = "  "


class Output:
    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def table(self, rows: Iterable[Mapping[str, Any]], *columns: str) -> None:
        """Prints these members of the rows as a table, or the rows with all members as a JSON array."""
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
        """Prints one member in each line."""
        if self.as_json:
            click.echo(json_text(row))
            return
        longest = max(map(len, row), default=0)
        for name, value in row.items():
            click.echo(f"{name:<{longest}}{GAP}{shown(value)}".rstrip())

    def listing(self, values: Iterable[str]) -> None:
        """Prints one value in each line."""
        if self.as_json:
            print_array(values)
            return
        for value in values:
            click.echo(shown(value))

    def done(self, sentence: str, **result: Any) -> None:
        """Prints a sentence about what was done, or as JSON the result's members or an empty object."""
        click.echo(json_text(result) if self.as_json else sentence)


def print_array(items: Iterable[Any]) -> None:
    """Prints the items one by one, since there may be as many as clients."""
    lead = "["
    for item in items:
        click.echo(lead + json_text(item), nl=False)
        lead = ",\n"
    click.echo("]" if lead != "[" else "[]")


def json_text(value: Any) -> str:
    """JSON in ASCII, so that names that clients have chosen cannot control a terminal."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def cells(row: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    return [shown(row.get(column)) for column in columns]


def shown(value: Any) -> str:
    """The text on one line and without control characters, since clients choose their names."""
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
    """The width of the text in columns of a terminal."""
    return len(text) + sum(unicodedata.east_asian_width(char) in "WF" for char in text if char > "\u1100")


def padded(text: str, to: int) -> str:
    return text + " " * (to - width(text))
