"""Who may import whom: the layers of ARCHITECTURE.md, read from the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from emqx_mgmt.broker.policy import JournalPolicy, Policy

PACKAGE = Path(__file__).resolve().parent.parent / "emqx_mgmt"

# From the bottom up. A part may import those below it, and itself; parts of one row do not know each other.
LAYERS = [
    {"settings"},
    {"broker"},
    {"listeners", "storage", "monitor", "modules"},
    {"plugins"},
    {"node"},
    {"manage"},
    {"api"},
    {"dashboard"},
    {"__init__"},
    {"server"},
    {"cli"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
FLASK = {"flask", "werkzeug", "flask_httpauth"}


def part_of(path: Path) -> str:
    top = path.relative_to(PACKAGE).parts[0]
    return top.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules a file imports when it runs, which leaves out imports for type checkers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "emqx_mgmt":
            names.update(f"emqx_mgmt.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return names


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_points_back(path: Path):
    part = part_of(path)
    for module in imported(path):
        if not module.startswith("emqx_mgmt."):
            continue
        target = module.split(".")[1]
        target = "__init__" if target == "create_app" else target
        assert target == part or LEVEL[target] < LEVEL[part], f"{part} imports {target}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_api_and_dashboard_know_flask(path: Path):
    if part_of(path) not in ("api", "dashboard", "__init__"):
        assert not {module.split(".")[0] for module in imported(path)} & FLASK


# The packages of the core, from the bottom up: a package imports those before it, and itself.
CORE = Path(__file__).resolve().parent.parent / "router_ext"
CORE_LAYERS = ["memory", "protocol", "routing", "message", "net", "durable", "session", "engine"]
CORE_SOURCES = sorted(path for path in CORE.rglob("*") if path.suffix in (".pyx", ".pxd", ".py"))
CORE_IMPORT = re.compile(r"^\s*(?:from router_ext\.(\w+)[.\w]* c?import|c?import router_ext\.(\w+))", re.MULTILINE)


@pytest.mark.parametrize("path", CORE_SOURCES, ids=lambda path: str(path.relative_to(CORE)))
def test_no_arrow_of_the_core_points_back(path: Path):
    package = path.parent.name
    if path.parent == CORE:
        assert path.name == "__init__.py", "a module of the core has a package"
        return
    for found in CORE_IMPORT.finditer(path.read_text()):
        target = found[1] or found[2]
        assert CORE_LAYERS.index(target) <= CORE_LAYERS.index(package), f"{package} imports {target}"


def test_the_policy_is_declared():
    """What the core asks of the broker, and of whom hears of the store, is in one file, and nothing else is."""
    asked = set(re.findall(r"policy\.(\w+)\(", "".join(path.read_text() for path in CORE.rglob("*.pyx"))))
    declared = {name for protocol in (Policy, JournalPolicy) for name in vars(protocol) if not name.startswith("_")}
    assert asked == declared


def test_no_test_module_imports_another():
    """What two of them need is in a module of its own."""
    tests = PACKAGE.parent / "tests"
    pattern = re.compile(r"^\s*from (tests\.[\w.]*test_\w+) import", re.MULTILINE)
    assert {path.name: found for path in tests.rglob("*.py") if (found := pattern.findall(path.read_text()))} == {}
