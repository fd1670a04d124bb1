"""Documents stay true: citations of the behaviour reference name a section of it, and links lead to a file."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from emqx_mgmt.plugins.catalogue import Catalogue
from emqx_mgmt.settings.emqx_keys import has_no_meaning
from emqx_mgmt.settings.table import TABLE, find

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


# -- troubleshooting: every line of the log from WARNING on, and every exit code ---------------------------------------

TROUBLESHOOTING = CHECKOUT / "docs" / "troubleshooting.md"
TELLING = {"warning", "error", "exception", "critical"}
# Of lines whose text is made elsewhere: how it begins there.
MADE_ELSEWHERE = {
    "emqx_mgmt/plugins/faults.py": "plugin …: … failed",
    "emqx_mgmt/dashboard/pages.py": "The dashboard's pages were not built",
    "emqx_mgmt/listeners/renewal.py": "TLS files of … cannot be used",
    "emqx_mgmt/monitor/certificates.py": "The certificate of …, …, expires at …",
}


def text_of(node: ast.expr) -> str:
    """A text of the source, with … for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%(?:\.\d+)?[a-z]", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)


def tells(call: ast.Call) -> bool:
    """A call of a logger's method; or of a function named `log` or `tell` that was handed on."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in TELLING and ast.unparse(call.func.value).split(".")[-1] == "log"
    return isinstance(call.func, ast.Name) and call.func.id in ("log", "tell")


def log_lines() -> Iterator[tuple[str, str]]:
    for path in files("emqx_mgmt/*.py"):
        source = str(path.relative_to(CHECKOUT))
        for call in calls(ast.parse(path.read_text())):
            if tells(call):
                text = text_of(call.args[0])
                yield source, text if text.strip("… :.T") else MADE_ELSEWHERE.get(source, "a line made elsewhere")


def test_each_warning_of_the_log_is_explained() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", TROUBLESHOOTING.read_text(), re.MULTILINE)
    lines = set(log_lines())
    assert len(lines) > 50
    missing = [line for line in sorted(lines) if not any(row.startswith(line[1]) for row in rows)]
    assert missing == [], "docs/troubleshooting.md has no row for these lines of the log"
    plugins = [row for row in rows if row.startswith("plugin …: …")]  # how a plugin fails: emqx_mgmt/plugins/faults.py
    source = (CHECKOUT / "emqx_mgmt/plugins/faults.py").read_text()
    over = [row for row in rows if not any(row.startswith(text) for _source, text in lines)
            and not (row in plugins and row.removeprefix("plugin …: … ").split("…")[0] in source)
            and row not in MADE_ELSEWHERE.values() and not row.startswith("The certificate of …")]
    assert over == [], "nothing in the broker says this any more"


def test_each_exit_code_is_explained() -> None:
    used = {getattr(os, name) for path in files("emqx_mgmt/*.py")
            for name in re.findall(r"\bos\.(EX_\w+)", path.read_text())}
    for page in (TROUBLESHOOTING, CHECKOUT / "docs" / "operation.md"):
        codes = {int(code) for code in re.findall(r"^\| (\d+) \|", page.read_text(), re.MULTILINE)}
        assert used | {0, 1, 2, 3} <= codes, page.name
    named = re.findall(r"^\| (\d+) \| `(EX_\w+)` \|", TROUBLESHOOTING.read_text(), re.MULTILINE)
    assert [name for code, name in named if getattr(os, name) != int(code)] == []


def test_each_alarm_says_what_to_do() -> None:
    named: set[str] = set()
    for path in files("emqx_mgmt/*.py"):
        source = path.read_text()
        named |= set(re.findall(r"\(\"(\w+)\", \"(?:notice|warning|error|critical)\"", source))
        named |= {name for line in re.findall(r"^.*(?:STORE_FULL|REMOVED|EXPIRED)\w* = (\".+)$", source, re.MULTILINE)
                  for name in re.findall(r"\"(\w+)\"", line)}
        named |= set(re.findall(r"f\"(guard_not_loaded|auth_backend_down)/\{", source))
    assert len(named) >= 14, named
    assert named <= set(headings(CHECKOUT / "docs" / "monitoring.md"))


# -- examples name keys and commands that there are -----------------------------------------------------------------

INI = re.compile(r"^```ini\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^|`|&& |\| |; |bin/)emqx-mgmt ((?:[a-z][a-z-]+ ?)+)", re.MULTILINE)
KEY_IN_TABLE = re.compile(r"`((?:\w+\.)+\w+(?: = [^`]*)?|allow_anonymous = \w+|acl_file = [^`]*)`")
OF_PLUGINS = {key.name for plugin in Catalogue().all() for key in plugin.settings}
PAGES = files("docs/*.md", "README.md")


@pytest.mark.parametrize("page", [page for page in PAGES if INI.search(page.read_text())], ids=lambda page: page.name)
def test_keys_of_examples_are_accepted(page: Path) -> None:
    """And the values, where they are not left out."""
    for line in "\n".join(INI.findall(page.read_text())).splitlines():
        key, _, text = map(str.strip, line.partition("="))
        if not key or key.startswith(("#", "auth.")) or key in OF_PLUGINS:
            continue
        row = find(key)
        assert row is not None, key
        if "…" not in text:
            row.kind.parse(text)


def test_each_key_of_migrations_is_accepted() -> None:
    """From EMQ X: both columns in `etc/emqx.conf`. From mosquitto: the column of this broker."""
    emqx, mosquitto = ((CHECKOUT / "docs" / f"migration-{name}.md").read_text() for name in ("emqx", "mosquitto"))
    theirs = [cell for row in re.findall(r"^\| (.+) \|$", emqx, re.MULTILINE) for cell in row.split(" | ")[:2]]
    ours = [row.split(" | ")[1] for row in re.findall(r"^\| (.+) \|$", mosquitto, re.MULTILINE) if "`" in row]
    count = 0
    for cell in theirs + ours:
        for written in KEY_IN_TABLE.findall(cell):
            key, _, text = map(str.strip, written.partition("="))
            if key.endswith((".conf", "…")) or key in OF_PLUGINS:
                continue
            count += 1
            row = find(key)
            assert row is not None or (has_no_meaning(key) and cell in theirs), key
            if row is not None and text:
                row.kind.parse(text)
    assert count > 60


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """The pages of the site that are made from the code."""
    done = subprocess.run([sys.executable, CHECKOUT / "docs" / "_reference.py"], capture_output=True, check=True)
    return json.loads(done.stdout)


def test_commands_of_pages_are_there(made: dict[str, str]) -> None:
    """A command line begins with the words of a command; what follows are its arguments."""
    known = re.findall(r"^## emqx-mgmt (.+)$", made["cli-reference.md"], re.MULTILINE)
    assert "plugins load" in known
    written = {f"{page.name}: {words.strip()}" for page in [*PAGES, *files("deploy/*")]
               for words in COMMAND.findall(page.read_text())}
    assert len(written) > 10
    groups = {command.split()[0] for command in known if " " in command}
    assert [one for one in sorted(written)
            if not any(f"{one.partition(': ')[2]} ".startswith(f"{command} ") for command in known)
            and one.partition(": ")[2] not in groups] == []


def test_references_have_every_row(made: dict[str, str]) -> None:
    settings = made["configuration-reference.md"]
    assert [key.name for key in TABLE if f"| `{key.name}` |" not in settings] == []
    assert [name for name in OF_PLUGINS if f"| `{name}` |" not in settings] == []
    assert made["rest-reference.md"].count("\n### ") > 100
