"""Brokers beside which plugins of the tests' own are installed."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.broker_process import BrokerProcess, wait_until

INSTALLED = Path(__file__).parent / "installed"
PLUGINS = {
    "rogue_answers": "rogue_plugins:RogueAnswers",
    "test_granting": "granting_plugins:Granting", "test_ruler": "granting_plugins:Ruler",
    "rogue_auth": "rogue_plugins:RogueAuth", "rogue_load": "rogue_plugins:RogueLoad",
    "rogue_service": "service_plugins:RogueService", "test_everything": "rogue_plugins:Everything",
    "slow_guard": "guard_plugins:SlowGuard", "undeclared_guard": "guard_plugins:UndeclaredGuard",
    "test_gauge": "service_plugins:Gauge",
    "test_http_auth": "service_plugins:HttpAuth", "test_witness": "service_plugins:Witness",
}
NODE = "nodes/emqx@127.0.0.1"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory of installed packages with the tests' plugins, as an installer leaves it."""
    site = tmp_path / "site"
    shutil.copytree(INSTALLED, site)
    install(site, "rogue", PLUGINS)
    return site


def install(site: Path, package: str, plugins: dict[str, str]) -> None:
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "\n".join(f"{name} = {value}" for name, value in plugins.items())
    (info / "entry_points.txt").write_text(f"[emqx_mgmt.plugins]\n{points}\n")


@pytest.fixture
def start_with_plugins(start_broker: Callable[..., BrokerProcess], site: Path) -> Callable[..., BrokerProcess]:
    def start(env: dict[str, str] | None = None, **kw: object) -> BrokerProcess:
        return start_broker({"PYTHONPATH": str(site)} | (env or {}), **kw)

    return start


def load(broker: BrokerProcess, plugin: str) -> None:
    answer = broker.api("PUT", f"{NODE}/plugins/{plugin}/load")
    assert (answer.status_code, answer.json()) == (200, "ok")


def unload(broker: BrokerProcess, plugin: str, **asked: Any) -> None:
    answer = broker.api("PUT", f"{NODE}/plugins/{plugin}/unload", **asked)
    assert (answer.status_code, answer.json()) == (200, "ok")


def active(broker: BrokerProcess) -> set[str]:
    return {row["name"] for row in broker.api("GET", f"{NODE}/plugins").json() if row["active"]}


def wait_until_given_back(left: Callable[[], Counter[str]], before: Counter[str]) -> None:
    """Until there is no more of anything than `before`. Less may be left: threads of the loop's own pool end by
    themselves, five seconds after their last work."""
    last: list[Counter[str]] = []

    def is_back() -> bool:
        last[:] = [left()]
        return last[0] <= before

    with contextlib.suppress(AssertionError):
        wait_until(is_back, 30)
    assert last[0] <= before
