"""The tables of normative statements: none is missing, none is without evidence, and the evidence exists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.wire_vectors import load

TESTS = Path(__file__).parent.parent
NAMES = re.compile(r"^def (test_\w+)\(", re.MULTILINE)
CONFORMANCE_FILES = ("connect", "publish", "subscribe", "websocket")
# How many statements each section has; their numbers begin with 1 unless told.
SECTIONS = {
    5: {
        "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": range(2, 7), "2.2.2": 1,
        "3.1.0": 2, "3.1.2": 30, "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22,
        "3.3.1": 13, "3.3.2": 20, "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3,
        "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
        "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4, "3.14.4": 3,
        "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5, "4.3.3": 13, "4.4.0": 2,
        "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1, "4.7.3": 4, "4.8.2": 6, "4.9.0": 3,
        "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1, "6.0.0": 4,
    },
    4: {
        "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5, "3.2.0": 1,
        "3.2.2": 6, "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1, "3.8.1": 1, "3.8.3": 4,
        "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6, "3.12.4": 1, "3.14.1": 1, "3.14.4": 3,
        "4.1.0": 2, "4.3.1": 1, "4.3.2": 2, "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3,
        "4.7.2": 1, "4.7.3": 4, "4.8.0": 2, "6.0.0": 4,
    },
}
FILES = {5: "mqtt5.txt", 4: "mqtt3.1.1.txt"}


@dataclass(frozen=True, slots=True)
class Statement:
    version: int
    number: str
    asks: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.version}-MQTT-{self.number}"


def read(version: int) -> list[Statement]:
    found = []
    for line in (TESTS / "conformance" / FILES[version]).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            number, asks, evidence = (part.strip() for part in line.split("|"))
            found.append(Statement(version, number, asks, tuple(item.strip() for item in evidence.split(";"))))
    return found


@cache
def vectors(version: int) -> list[str]:
    return [vector.name for vector in load() if vector.version == version]


@cache
def names_in(name: str) -> frozenset[str]:
    """The tests of a file under tests/mqtt; the conformance files by their last word."""
    file = f"test_conformance_{name}.py" if name in CONFORMANCE_FILES else f"test_{name}.py"
    path = TESTS / "mqtt" / file
    return frozenset(NAMES.findall(path.read_text(encoding="utf-8"))) if path.exists() else frozenset()


def shows(statement: Statement, item: str) -> bool:
    if item == "wire":
        cited = f"[MQTT-{statement.number}]"
        return any(cited in name and f"{cited} of 3.1.1" not in name for name in vectors(statement.version))
    if item.startswith("wire "):
        return any(item.removeprefix("wire ") in name for name in vectors(statement.version))
    if item.startswith(("client: ", "untested: ")):
        return len(item.split()) > 4
    file, _, name = item.partition(".")
    return name in names_in(file)


@pytest.mark.parametrize("version", SECTIONS)
def test_every_statement_is_listed_once(version):
    expected = [
        f"{section}-{number}"
        for section, numbers in SECTIONS[version].items()
        for number in (numbers if isinstance(numbers, range) else range(1, numbers + 1))
    ]
    assert [statement.number for statement in read(version)] == expected


@pytest.mark.parametrize("statement", [*read(4), *read(5)], ids=str)
def test_every_statement_has_evidence_that_exists(statement):
    assert statement.asks
    missing = [item for item in statement.evidence if not shows(statement, item)]
    assert missing == []


def test_evidence_that_does_not_exist_is_found():
    for item in ("", "wire", "wire no such vector", "connect.test_nothing_of_the_kind", "nowhere.test_x", "client: no"):
        assert not shows(Statement(5, "9.9.9-1", "nothing", (item,)), item)
