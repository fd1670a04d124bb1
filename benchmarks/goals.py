"""What this broker must reach, and what it aims at."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from contest import PLAIN, Results
from generator import Run
from loads import LOADS, Load
from peers import OURS

MOSQUITTO = "mosquitto"
MEASURES = {"rate": "rate", "p50_us": "p50", "p99_us": "p99", "memory": "bytes", "subscribe_rate": "subscribes/s"}


@dataclass(frozen=True, slots=True)
class Goal:
    """`measure` of this broker, divided by that of the row `to` if one is named, against a floor, and a goal if there
    is one. More is better unless `less`."""

    load: str
    floor: float
    goal: float | None
    measure: str = "rate"
    to: str = ""
    less: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    goal: Goal
    figure: float

    def reached(self, bound: float) -> bool:
        return self.figure <= bound if self.goal.less else self.figure >= bound

    @property
    def misses_floor(self) -> bool:
        return not self.reached(self.goal.floor)



def against_mosquitto(load: str, floor: float, goal: float, measure: str = "rate", less: bool = False) -> Goal:
    return Goal(load, floor, goal, measure, MOSQUITTO, less)


def beside_plain(load: Load) -> Goal:
    return Goal(load.name, 0.8, None, to=OURS + PLAIN)


GOALS = (
    against_mosquitto("one", 15, 30),
    against_mosquitto("pairs10", 13, 20),
    against_mosquitto("pairs100", 2.8, 3.3),
    against_mosquitto("fanout100", 28, 40),
    against_mosquitto("fanout1000", 30, 43),
    against_mosquitto("fanin100", 8, 12),
    against_mosquitto("qos1", 3.5, 6),
    against_mosquitto("qos2", 5, 9),
    *(against_mosquitto(load, 0.7, goal, measure, less=True)
      for load in ("paced0", "paced1") for measure, goal in (("p50_us", 0.5), ("p99_us", 0.4))),
    against_mosquitto("connect", 0.8, 1.2),
    Goal("idle", 2048, 1024, "memory", less=True),
    Goal("filters", 250, 150, "memory", less=True),
    Goal("filters", 500_000, 1_000_000, "subscribe_rate"),
    Goal("filters", 300_000, 600_000),
    *(beside_plain(load) for load in LOADS if load.beside),
)


def middle(runs: list[Run], measure: str) -> float:
    return float(median(getattr(run, measure) for run in runs))


def verdicts(everything: dict[str, Results]) -> list[Verdict]:
    """Of the goals whose figures were measured."""
    found = []
    for goal in GOALS:
        results = everything.get(goal.load, {})
        if not results.get(OURS) or (goal.to and not results.get(goal.to)):
            continue
        figure = middle(results[OURS], goal.measure)
        if goal.to:
            figure /= middle(results[goal.to], goal.measure)
        found.append(Verdict(goal, figure))
    return found
