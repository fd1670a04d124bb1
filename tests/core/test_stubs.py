"""The stubs of the core beside the compiled modules: the same names, with the same parameters."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import router_ext

# Of the packages that are imported: in a checkout, or from an installed wheel.
CORE = Path(router_ext.__path__[0])
ROOT = CORE.parent
STUBS = sorted(CORE.rglob("*.pyi"))
IMPORTED = re.compile(r"^\s*(?:from (router_ext\.[\w.]+) import|import (router_ext\.[\w.]+))", re.MULTILINE)
Parameters = list[tuple[str, str, bool]]  # name, kind, whether it has a default
WITHIN_THE_CORE = {"Sending"}  # classes that no Python code sees


def name_of(stub: Path) -> str:
    return ".".join(stub.relative_to(ROOT).with_suffix("").parts)


def declared(tree: ast.Module | ast.ClassDef) -> dict[str, ast.stmt]:
    """What a stub declares, by name, but for what it imports and its aliases of types."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.setdefault(node.name, node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def of_module(module: ModuleType) -> set[str]:
    """The public functions and classes that a module defines itself."""
    return {name for name, value in vars(module).items()
            if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
            } - WITHIN_THE_CORE


def of_class(defined: type) -> set[str]:
    """Its public members, but for those that it has from its bases."""
    inherited = {name for base in defined.__mro__[1:] for name in vars(base)}
    return {name for name in vars(defined) if not name.startswith("_") and name not in inherited}


def written(node: ast.FunctionDef) -> Parameters:
    arguments = node.args
    plain = arguments.posonlyargs + arguments.args
    first_default = len(plain) - len(arguments.defaults)
    static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in node.decorator_list)
    rows = [(one.arg, "plain", i >= first_default) for i, one in enumerate(plain)]
    rows += [(one.arg, "keyword", default is not None)
             for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg is not None:
        rows.append((arguments.kwarg.arg, "others", False))
    return rows if static or not rows or rows[0][0] != "self" else rows[1:]


def compiled(function: Any) -> Parameters:
    kinds = {inspect.Parameter.KEYWORD_ONLY: "keyword", inspect.Parameter.VAR_KEYWORD: "others"}
    rows = [(one.name, kinds.get(one.kind, "plain"), one.default is not inspect.Parameter.empty)
            for one in inspect.signature(function).parameters.values()]
    return rows[1:] if rows and rows[0][0] == "self" else rows


def constructor(defined: type) -> list[tuple[str, bool]]:
    """Names, and whether there are defaults, from the first line of the class's documentation, where Cython puts the
    signature of `__init__`. The `*` in it is misplaced."""
    text = (defined.__doc__ or "").partition("\n")[0]
    assert text.startswith(f"{defined.__name__}("), f"{defined.__name__} has no signature"
    shown = text[len(defined.__name__) + 1:text.rindex(")")]
    shown = re.sub(r"\w[\w ]*\[::1\] ", "", shown)
    without_types = re.sub(r"(^|, )(?:[\w.]+ )+(\**\w+)", r"\1\2", shown)
    rows = compiled(eval(f"lambda {without_types}: None", {}))  # the module's own text
    return [(name, has_default) for name, _kind, has_default in rows]


def differences(stub: Path) -> Iterator[str]:
    module = importlib.import_module(name_of(stub))
    tree = declared(ast.parse(stub.read_text()))
    for name in of_module(module) - tree.keys():
        yield f"{name} is not in the stub"
    for name in tree.keys() - vars(module).keys():
        yield f"{name} is not in the module"
    for name, node in tree.items():
        value = getattr(module, name, None)
        if isinstance(node, ast.FunctionDef) and callable(value) and written(node) != compiled(value):
            yield f"{name}{inspect.signature(value)}"
        elif isinstance(node, ast.ClassDef) and isinstance(value, type) and not issubclass(value, tuple):
            yield from class_differences(node, value)


def class_differences(node: ast.ClassDef, defined: type) -> Iterator[str]:
    members = declared(node)
    public = {name for name in members if not name.startswith("_")}
    for name in of_class(defined) - public:
        yield f"{node.name}.{name} is not in the stub"
    if not issubclass(defined, Exception):  # whose attributes are of the instance
        for name in public - set(dir(defined)):
            yield f"{node.name}.{name} is not in the module"
    for name, member in members.items():
        value = vars(defined).get(name)
        if isinstance(member, ast.AnnAssign) or value is None:
            continue
        assert isinstance(member, ast.FunctionDef)
        is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in member.decorator_list)
        if is_property != inspect.isdatadescriptor(value):
            yield f"{node.name}.{name} is {'no property' if is_property else 'a property'}"
        elif name == "__init__" and not issubclass(defined, Exception):
            if [(name, has_default) for name, _kind, has_default in written(member)] != constructor(defined):
                yield defined.__doc__ or ""
        elif not is_property and not name.startswith("__"):
            function = value.__func__ if isinstance(value, staticmethod) else value
            if written(member) != compiled(function):
                yield f"{node.name}.{name}{inspect.signature(function)}"


@pytest.mark.parametrize("stub", STUBS, ids=name_of)
def test_a_stub_is_what_was_compiled(stub: Path) -> None:
    assert list(differences(stub)) == []


def test_every_module_that_python_imports_has_a_stub() -> None:
    imported = set()
    for source in (ROOT / "emqx_mgmt").rglob("*.py"):
        for found in IMPORTED.finditer(source.read_text()):
            imported.add(found[1] or found[2])
    assert imported
    compiled_ones = {name for name in imported if is_compiled(name)}
    assert compiled_ones <= set(map(name_of, STUBS))


def is_compiled(name: str) -> bool:
    found = importlib.util.find_spec(name)
    return found is not None and str(found.origin).endswith(".so")


def test_a_type_checker_sees_the_stubs() -> None:
    """PEP 561: it looks for `py.typed`."""
    assert (CORE / "py.typed").exists()
