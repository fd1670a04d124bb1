"""Erlang terms, as far as `acl.conf` uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

TOKEN = re.compile(
    r"""
    (?P<blank>\s+|%[^\n]*)
  | (?P<string><<\s*"(?:[^"\\]|\\.)*"(?:\s*/\s*utf8)?\s*>>|"(?:[^"\\]|\\.)*")
  | (?P<quoted>'(?:[^'\\]|\\.)*')
  | (?P<atom>[a-z][A-Za-z0-9_@]*)
  | (?P<mark>[{}\[\],.])
    """,
    re.VERBOSE,
)
CLOSING = {"{": "}", "[": "]"}
DEEPEST = 20


class Atom(str):
    """A word, not a text."""

    __slots__ = ()


class Token(NamedTuple):
    """A piece of the text; `line` counts from 1."""

    kind: str
    text: str
    line: int


Term = str | tuple["Term", ...] | list["Term"]


class TermError(ValueError):
    """The text is no term; the message names the line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")


def tokens(text: str) -> Iterator[Token]:
    """Raises TermError."""
    at, line = 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise TermError(line, f"unexpected {text[at]!r}")
        kind = match.lastgroup or ""
        if kind != "blank":
            yield Token(kind, match[0], line)
        line += match[0].count("\n")
        at = match.end()


class Reader:
    """Terms one after the other, each ended by a full stop."""

    def __init__(self, text: str) -> None:
        self._tokens = [*tokens(text)]
        self._at = 0

    def terms(self) -> Iterator[tuple[Term, int]]:
        """The terms, each with the number of its first line. Raises TermError."""
        while self._at < len(self._tokens):
            line = self._tokens[self._at].line
            term = self._term(0)
            self._expect(".")
            yield term, line

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise TermError(self._tokens[-1].line if self._tokens else 1, "a full stop is missing")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, *marks: str) -> str:
        token = self._next()
        if token.kind != "mark" or token.text not in marks:
            raise TermError(token.line, f"expected {' or '.join(marks)} before {token.text}")
        return token.text

    def _term(self, depth: int) -> Term:
        token = self._next()
        if depth > DEEPEST:
            raise TermError(token.line, "nested too deeply")
        if token.kind == "atom":
            return Atom(token.text)
        if token.kind == "quoted":
            return Atom(unescaped(token.text[1:-1]))
        if token.kind == "string":
            return unescaped(token.text[token.text.index('"') + 1 : token.text.rindex('"')])
        if token.text not in CLOSING:
            raise TermError(token.line, f"unexpected {token.text}")
        members = self._members(CLOSING[token.text], depth + 1)
        return tuple(members) if token.text == "{" else members

    def _members(self, closing: str, depth: int) -> list[Term]:
        members: list[Term] = []
        if self._at < len(self._tokens) and self._tokens[self._at].text == closing:
            self._at += 1
            return members
        while True:
            members.append(self._term(depth))
            if self._expect(",", closing) == closing:
                return members


def unescaped(text: str) -> str:
    """The content of a quoted atom or string."""
    return re.sub(r"\\(.)", r"\1", text)
