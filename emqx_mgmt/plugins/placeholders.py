"""Placeholders in what a back-end is asked: `%u` the user name, `%c` the client id, and others (behaviour, 22).

A text is read once, when its plugin is loaded. What stands for a placeholder is a value of its own from then on: it is
bound, or it is one argument, and never read as part of a query, a command or a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emqx_mgmt.listeners.peer import common_name

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client

MEANING = {
    "%u": "user name", "%c": "client id", "%a": "address of the client", "%P": "password", "%t": "topic",
    "%A": "access: 1 subscribe, 2 publish", "%C": "common name of the client's certificate",
    "%d": "subject of the client's certificate", "%m": "mountpoint",
}
# As EMQ X 3.1 and 3.2 name them. Longer names, such as `%cname`, are `%c` and a text.
RENAMED = {"%cn": "%C", "%dn": "%d"}
# In requests to a service only: texts such as `'%list%'` are usual in SQL.
OF_REQUESTS = {"%l": "port that the client connected to", "%p": "the same", "%r": "protocol"}
PLACEHOLDER = re.compile("|".join([*(rf"{name}(?!\w)" for name in RENAMED), *MEANING]))
PLACEHOLDER_OF_REQUESTS = re.compile("|".join([PLACEHOLDER.pattern, *OF_REQUESTS]))
# Of queries that are asked once a client, and not once a topic.
OF_CLIENTS = frozenset({"%u", "%c", "%a", *(OF_CERTIFICATES := {"%C", "%d", *RENAMED}), "%m"})

Values = Mapping[str, str]


def are_missing(placeholders: frozenset[str], client: Client) -> bool:
    """Whether the client has no user name or no certificate, and a question about it needs that: one with an empty text
    in its place would be about somebody else."""
    return bool(("%u" in placeholders and client.username is None)
                or (placeholders & OF_CERTIFICATES and not client.subject))


def values_of(client: Client, access: int = 0, topic: str = "", mountpoint: str = "") -> dict[str, str]:
    """What each placeholder stands for; empty texts for what the client has not.

    A password that is not UTF-8 cannot be that of a text column: it is passed on with its bytes as surrogates, which
    no driver sends as they are."""
    name, subject = (common_name(client.subject), client.subject) if client.subject else ("", "")
    return {
        "%u": client.username or "",
        "%c": client.client_id,
        "%a": client.peer[0],
        "%P": (client.password or b"").decode("utf-8", "surrogateescape"),
        "%t": topic,
        "%A": str(access) if access else "",
        "%C": name, "%cn": name,
        "%d": subject, "%dn": subject,
        "%m": mountpoint,
        "%l": (port := str(client.port or "")), "%p": port,
        "%r": "mqtt",
    }


@dataclass(frozen=True, slots=True)
class Template:
    """A text with placeholders: `parts` are texts and placeholders in turn, beginning with a text."""

    parts: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, placeholder: re.Pattern[str] = PLACEHOLDER) -> Template:
        return cls(tuple(re.split(f"({placeholder.pattern})", text)))

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset(self.parts[1::2])

    def fill(self, values: Values, escape: Callable[[str], str] = str) -> str:
        """The text with the values in it, each through `escape`."""
        return "".join(escape(values[part]) if index % 2 else part for index, part in enumerate(self.parts))


# A quoted text (with '' or \' in it), a quoted name, a comment, or a placeholder that stands alone.
_SQL = re.compile(
    r"(?P<text>'(?:[^'\\]|''|\\.)*')|(?P<name>\"[^\"]*\"|`[^`]*`)|(?P<comment>--[^\n]*|/\*.*?\*/)"
    rf"|(?P<bare>{PLACEHOLDER.pattern})", re.DOTALL)
_NAMES_FOLLOW = re.compile(r"\b(?:from|join|table|into|update|by|as)\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SqlQuery:
    """`statement` is `text` with a marker (`%s`) for each of `parameters`, and every other per cent sign doubled."""

    text: str
    statement: str
    parameters: tuple[Template, ...]

    @classmethod
    def parse(cls, text: str) -> SqlQuery:
        """Quotes around a placeholder go, since what is bound needs none: `'%u'` and `'%u@site'` are one marker each.

        Raises ValueError, with the end of a sentence, for a placeholder where a name is expected: names cannot be
        bound."""
        pieces: list[str] = []
        parameters: list[Template] = []
        end = 0
        for found in _SQL.finditer(text):
            pieces.append(text[end:found.start()].replace("%", "%%"))
            end = found.end()
            piece, kind = found[0], found.lastgroup
            if kind == "comment" or not PLACEHOLDER.search(piece):
                pieces.append(piece.replace("%", "%%"))
                continue
            if kind == "name" or (kind == "bare" and _is_name(text, found.start(), found.end())):
                raise ValueError(f"has a placeholder at character {found.start() + 1} where a name of the database is "
                                 "expected: only values can be placeholders")
            parameters.append(Template.parse(_unquoted(piece) if kind == "text" else piece))
            pieces.append("%s")
        pieces.append(text[end:].replace("%", "%%"))
        return cls(text, "".join(pieces), tuple(parameters))

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset().union(*(parameter.placeholders for parameter in self.parameters))

    def bound(self, values: Values) -> tuple[str, ...]:
        return tuple(parameter.fill(values) for parameter in self.parameters)


def _is_name(text: str, start: int, end: int) -> bool:
    before, after = text[:start], text[end:]
    return bool(re.search(r"[\w.$]$", before) or re.match(r"[\w.$(]", after) or _NAMES_FOLLOW.search(before))


def _unquoted(piece: str) -> str:
    return re.sub(r"''|\\(.)", lambda found: found[1] or "'", piece[1:-1])


@dataclass(frozen=True, slots=True)
class Command:
    """A command of words, as `HMGET mqtt_user:%u password`: divided before its placeholders are filled in, so that a
    user name with a space or a line break in it stays one argument."""

    text: str
    words: tuple[Template, ...]

    @classmethod
    def parse(cls, text: str, verbs: frozenset[str]) -> Command:
        """Words are divided by white space, and may stand in single or double quotes. Raises ValueError, with the end
        of a sentence, for one that does not begin with one of `verbs`, or with a quote that does not close."""
        words = re.findall(r"\"([^\"]*)\"|'([^']*)'|([^\s\"']+)|([\"'])", text)
        if any(word[3] for word in words):
            raise ValueError("has a quote that is not closed")
        plain = ["".join(word) for word in words]
        if not plain or plain[0].upper() not in verbs:
            raise ValueError(f"must begin with {', '.join(sorted(verbs))}")
        return cls(text, tuple(Template.parse(word) for word in plain))

    @property
    def placeholders(self) -> frozenset[str]:
        return frozenset().union(*(word.placeholders for word in self.words))

    def fill(self, values: Values) -> tuple[str, ...]:
        return tuple(word.fill(values) for word in self.words)
