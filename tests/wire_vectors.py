"""Wire vectors: what a client may send in each version, and how the broker has to take it.

The notation is told in vectors/README.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "vectors"
LEVELS = {"3.1": 3, "3.1.1": 4, "5": 5}
TOKEN = re.compile(
    r'"(?P<text>[^"]*)"|(?P<hex>[0-9a-f]{2})\*(?P<times>\d+)|(?P<plain>(?:[0-9a-f]{2})+)|(?P<mark>[(){}])'
)
OUTCOMES = frozenset(("accept", "reply", "connack", "refuse", "state", "close", "wait", "end"))


@dataclass(frozen=True, slots=True)
class Vector:
    name: str  # with its clause
    version: int  # protocol level: 3, 4 or 5
    first: bool  # sent first on a connection; otherwise after CONNECT and CONNACK
    data: bytes
    outcome: str
    code: int | None  # reason code (or return code, of `connack` before MQTT 5)
    reply: bytes | None  # what is sent back, where it is the same for every broker
    source: str  # file and line

    def __str__(self) -> str:
        return f"{self.source} {self.name}"


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    return bytes((*encoded, number))


def read_bytes(notation: str) -> bytes:
    """`0a0b`, `"text"`, `61*300`, `(` field with a two-byte length `)`, `{` part with a varint length `}`."""
    stack = [bytearray()]
    at = 0
    while at < len(notation):
        if notation[at] == " ":
            at += 1
            continue
        token = TOKEN.match(notation, at)
        if token is None:
            raise ValueError(f"not bytes: {notation[at:]!r}")
        at = token.end()
        if token["text"] is not None:
            stack[-1] += token["text"].encode()
        elif token["hex"]:
            stack[-1] += bytes.fromhex(token["hex"]) * int(token["times"])
        elif token["plain"]:
            stack[-1] += bytes.fromhex(token["plain"])
        elif token["mark"] in "({":
            stack.append(bytearray())
        else:
            inner = bytes(stack.pop())
            stack[-1] += len(inner).to_bytes(2, "big") if token["mark"] == ")" else varint(len(inner))
            stack[-1] += inner
    if len(stack) != 1:
        raise ValueError(f"unbalanced: {notation!r}")
    return bytes(stack[0])


def read_outcome(text: str) -> tuple[str, int | None, bytes | None]:
    head, _, reply = text.partition(" with ")
    word, _, rest = head.partition(" ")
    if word not in OUTCOMES:
        raise ValueError(f"unknown outcome {word!r}")
    if word == "reply":
        return word, None, read_bytes(rest)
    return word, int(rest, 16) if rest else None, read_bytes(reply) if reply else None


def read_file(path: Path) -> Iterator[Vector]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            versions, place, data, outcome, name = (part.strip() for part in line.split("|"))
            first = {"first": True, "open": False}[place]
            word, code, reply = read_outcome(outcome)
            for version in versions.split():
                yield Vector(name, LEVELS[version], first, read_bytes(data), word, code, reply,
                             f"{path.stem}:{number}:{version}")
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path.name}:{number}: {error}") from error


def load(folder: Path = FOLDER) -> list[Vector]:
    return [vector for path in sorted(folder.glob("*.txt")) for vector in read_file(path)]
