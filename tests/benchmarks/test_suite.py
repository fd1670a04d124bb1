"""The comparison itself: a load measured from end to end, and the verdicts on its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))


def runs(*rates: float, **figures: float) -> list[Any]:
    from generator import Run

    return [Run(rate=rate, delivered=1.0, **figures) for rate in rates]


def test_a_load_is_measured_under_its_condition_and_beside_itself_without() -> None:
    from brokers import Placement
    from contest import run_load
    from generator import Generator, build
    from loads import BY_NAME
    from peers import BROKERS

    build()
    core = Placement(0, realtime=False)
    results = run_load(BY_NAME["acl-one"], [BROKERS["ours"]], Generator(core, seconds=0.02), core, repeat=2)
    assert list(results) == ["ours", "ours, plain"]
    for rows in results.values():
        assert [run.delivered for run in rows] == [1, 1]
        assert all(run.rate > 0 for run in rows)


def test_a_verdict_is_given_on_the_median_of_what_was_measured() -> None:
    from goals import verdicts

    found = verdicts({"one": {"ours": runs(100, 160, 900), "mosquitto": runs(10, 10, 1)}})
    assert [(verdict.goal.load, verdict.figure) for verdict in found] == [("one", 16)]
    assert not found[0].misses_floor
    assert not found[0].reached(30)


def test_less_memory_is_better() -> None:
    from goals import verdicts

    found = verdicts({"idle": {"ours": runs(0, memory=3000.0)}})
    assert found[0].misses_floor


def test_a_load_that_a_peer_cannot_do_is_not_asked_of_it() -> None:
    from contest import entries
    from loads import BY_NAME
    from peers import BROKERS

    everybody = list(BROKERS.values())
    assert [row.name for row in entries(BY_NAME["v5-one"], everybody)] == [
        "ours", "mosquitto", "ours, plain", "mosquitto, plain"]
    assert [row.name for row in entries(BY_NAME["scraped-one"], everybody)] == ["ours", "ours, plain"]
    assert {row.name for row in entries(BY_NAME["one"], everybody)} == set(BROKERS)


def test_what_was_lost_is_said_and_the_limit_of_the_generator_named() -> None:
    from loads import BY_NAME
    from report import table

    lost, limited = runs(1000.0, cpu_percent=95.0), runs(1000.0, cpu_percent=95.0)
    lost[0].delivered, lost[0].complaint = 0.5, "7 lost"
    text = table(BY_NAME["one"], {"ours": lost, "mosquitto": limited})
    assert "NOT IN FULL: 50.00 % (7 lost)" in text
    assert "0 / 95 % (limit)" in text
