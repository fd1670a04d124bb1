"""Documents stay true: citations of the behaviour reference name a section of it, and links lead to a file."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
REFERENCE = CHECKOUT / "docs" / "reference"
NUMBER = r"\d+(?:\.\d+)*"
# "behaviour, 5.9", "behaviour, sections 7, 8 and 14", "behaviour 16.2", "behaviour, 5.4 to 5.9 and 6"
NUMBERS = rf"{NUMBER}(?:(?:, | and | to )(?:section )?{NUMBER})*"
CITATION = re.compile(rf"\bbehaviour(?: of EMQ X 3)?,?\s+(?:sections? )?({NUMBERS})")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def files(*patterns: str) -> list[Path]:
    """Of the repository, whether committed yet or not."""
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=CHECKOUT,
                            capture_output=True, text=True, check=True)
    return [path for line in sorted(listed.stdout.splitlines()) if (path := CHECKOUT / line).exists()]


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.MULTILINE)


@cache
def sections() -> frozenset[str]:
    return frozenset(number[1] for page in REFERENCE.glob("*.md") for heading in headings(page)
                     if (number := re.match(rf"({NUMBER}) ", heading)))


def anchors(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


CITING = [path for path in files("*.py", "*.pyx", "*.pxd", "*.pyi", "*.txt", "*.md")
          if path != Path(__file__) and CITATION.search(path.read_text())]


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_citations_name_sections(path: Path) -> None:
    cited = {number for citation in CITATION.findall(path.read_text()) for number in re.findall(NUMBER, citation)}
    assert cited <= sections()


def test_no_section_is_there_twice() -> None:
    numbers = [number[0] for page in REFERENCE.glob("*.md") for heading in headings(page)
               if (number := re.match(NUMBER, heading))]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("page", files("*.md"), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, fragment in LINK.findall(CODE.sub("", page.read_text())):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if fragment:
            assert fragment in anchors(there), fragment


def test_each_change_is_listed_once() -> None:
    """Merges of two sides that both add a bullet bring bullets back that were moved."""
    text = (CHECKOUT / "CHANGES.md").read_text()
    beginnings = [" ".join(bullet.split())[:40] for bullet in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]
    assert [one for one in beginnings if beginnings.count(one) > 1] == []
    assert {text[:begin.start()].count("\n### ") for begin in re.finditer(r"^- ", text, re.MULTILINE)} <= {1, 2, 3}


PATH = re.compile(r"`((?:router_ext|emqx_mgmt|tests|benchmarks|docs)/(?:\w+/)*(?:\w+\.\w+)?)[`:]")
NAMED = re.compile(r"`([\w/]+\.(?:pyx|py)):([\w.]+)`")


def defined(path: Path) -> set[str]:
    """Functions of a file, and those of its classes with the class's name in front."""
    found: set[str] = set()
    owner = ""
    for line in path.read_text().splitlines():
        if begins := re.match(r"(?:cdef |cpdef )?class (\w+)", line):
            owner = f"{begins[1]}."
            found.add(begins[1])
        elif re.match(r"\S", line):
            owner = owner if line.startswith((")", "@", "#")) else ""
        if function := re.match(r"\s*(?:async )?(?:def|cpdef|cdef)\b[^=(]*?(\w+)\(", line):
            found |= {f"{owner}{function[1]}"}
    return found


@pytest.mark.parametrize("page", files("docs/*.md", "ARCHITECTURE.md", "CONTRIBUTING.md"),
                         ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_what_pages_name_is_there(page: Path) -> None:
    text = page.read_text()
    assert [path for path in PATH.findall(text) if not (CHECKOUT / path).exists()] == []
    assert [f"{path}:{name}" for path, name in NAMED.findall(text) if name not in defined(CHECKOUT / path)] == []
