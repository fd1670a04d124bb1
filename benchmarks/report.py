"""Tables: a load each, a broker a row, medians with their spread; all of them beside each other; what was reached."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from contest import PLAIN, Results
from generator import Run
from goals import MEASURES, MOSQUITTO, Verdict, middle
from loads import BY_NAME, MAIN, Kind, Load
from peers import OURS

Column = tuple[str, Callable[[list[Run]], str]]
GENERATOR_LIMIT = 80  # per cent of its core: some of it is lost between wakings


def number(value: float) -> str:
    """In full, or three digits and a unit."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 10 * size or (unit == "M" and value >= size):
            return f"{value / size:.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(name: str) -> Callable[[list[Run]], str]:
    """Median of a field, with the least and the most when there was more than one run."""

    def cell(runs: list[Run]) -> str:
        values = [getattr(run, name) for run in runs]
        text = f"{median(values):,.0f}"
        return text if len(runs) == 1 else f"{text} ({min(values):,.0f} to {max(values):,.0f})"

    return cell


def plain(name: str) -> Callable[[list[Run]], str]:
    return lambda runs: f"{middle(runs, name):,.0f}"


def cpu(runs: list[Run]) -> str:
    """Shares of their cores that broker and generator used. Says so where the broker waited for the generator: its true
    figure is then this or better."""
    broker = median(run.broker_ns * run.rate / 1e7 for run in runs)
    generator = median(run.cpu_percent for run in runs)
    waited = generator >= GENERATOR_LIMIT and broker < generator
    return f"{min(100, broker):.0f} / {generator:.0f} %" + (" (limit)" if waited else "")


def delivered(runs: list[Run]) -> str:
    """The worst run's share and complaint: a loss is not averaged away."""
    worst = min(runs, key=lambda run: (run.delivered, not run.complaint))
    if worst.delivered < 1:
        return f"NOT IN FULL: {100 * worst.delivered:.2f} % ({worst.complaint})"
    return "all" + (f" ({worst.complaint})" if worst.complaint else "")


def filters_held(runs: list[Run]) -> str:
    return f"{min(run.figures.get('filters', 1_000_000) for run in runs):,}"


COLUMNS: dict[Kind, list[Column]] = {
    Kind.THROUGHPUT: [
        ("msg/s", spread("rate")),
        ("delivered", delivered),
        ("broker ns/msg", plain("broker_ns")),
        ("CPU, broker / generator", cpu),
    ],
    Kind.LATENCY: [
        ("p50 µs", spread("p50_us")),
        ("p99 µs", spread("p99_us")),
        ("p99.9 µs", spread("p999_us")),
        ("delivered", delivered),
        ("broker ns/msg", plain("broker_ns")),
        ("msg/s", plain("rate")),
    ],
    Kind.CONNECTS: [
        ("connects/s", spread("rate")),
        ("p50 µs", plain("p50_us")),
        ("p99 µs", plain("p99_us")),
        ("served", delivered),
        ("broker ns/connect", plain("broker_ns")),
        ("CPU, broker / generator", cpu),
    ],
    Kind.MEMORY: [("bytes a connection", spread("memory")), ("stayed open", delivered)],
    Kind.FILTERS: [
        ("filters", filters_held),
        ("bytes a filter", spread("memory")),
        ("subscribes/s", spread("subscribe_rate")),
        ("cold msg/s", spread("rate")),
        ("delivered", delivered),
    ],
}
COMPARED = {
    Kind.THROUGHPUT: ("rate",),
    Kind.LATENCY: ("p50_us", "p99_us"),
    Kind.CONNECTS: ("rate",),
    Kind.MEMORY: ("memory",),
    Kind.FILTERS: ("memory", "subscribe_rate", "rate"),
}


def ratio(load: Load, runs: list[Run], peer: list[Run]) -> str:
    """This row's medians over the peer's, in the order of COMPARED."""
    pairs = [(middle(runs, name), middle(peer, name)) for name in COMPARED[load.kind]]
    return " / ".join(f"{mine / theirs:.2f}x" if theirs else "-" for mine, theirs in pairs)


def aligned(rows: list[list[str]]) -> str:
    """A Markdown table of these cells; the first row is its head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * width for width in widths], *rows[1:]]
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def table(load: Load, results: Results) -> str:
    """`results` has the rows that gave a result. Compared is with mosquitto, or with the same broker without the
    load's condition."""
    columns = COLUMNS[load.kind]
    rows = [["broker", *(title for title, _ in columns), "to plain" if load.beside else f"to {MOSQUITTO}"]]
    for name, runs in results.items():
        other = name + PLAIN if load.beside else MOSQUITTO
        compared = ratio(load, runs, results[other]) if other in results and other != name else ""
        rows.append([name, *(cell(runs) for _, cell in columns), compared])
    return f"### {load.title}  (`{load.name}`)\n\n{aligned(rows)}"


def summary_cell(load: Load, results: Results, name: str) -> str:
    if not results.get(name):
        return "-"
    runs = results[name]
    text = " / ".join(number(middle(runs, measure)) for measure in COMPARED[load.kind])
    if name != MOSQUITTO and results.get(MOSQUITTO):
        text += f" ({ratio(load, runs, results[MOSQUITTO])})"
    lost = min(run.delivered for run in runs)
    return text if lost == 1 else f"{text}, **{100 * lost:.0f} % delivered**"


def summary(everything: dict[str, Results], brokers: list[str]) -> str:
    """The main table: a load a row, a broker a column, medians and their ratio to mosquitto's."""
    rows = [["", *brokers]]
    for load in (*MAIN, BY_NAME["filters"]):
        if results := everything.get(load.name):
            rows.append([load.title, *(summary_cell(load, results, name) for name in brokers)])
    return aligned(rows) if len(rows) > 1 else ""


def goal_table(found: list[Verdict]) -> str:
    rows = [["load", "measure", "figure", "floor", "", "goal", ""]]
    for verdict in found:
        goal = verdict.goal
        unit = "x" if goal.to else ""
        sign = "≤" if goal.less else "≥"
        measure = MEASURES[goal.measure] + (f" to {goal.to.removeprefix(OURS + ', ')}" if goal.to else "")
        rows.append([
            BY_NAME[goal.load].title, measure,
            f"{verdict.figure:.2f}x" if goal.to else f"{verdict.figure:,.0f}",
            f"{sign} {goal.floor:,.9g}{unit}", "MISSED" if verdict.misses_floor else "met",
            f"{sign} {goal.goal:,.9g}{unit}" if goal.goal else "",
            "" if not goal.goal else "met" if verdict.reached(goal.goal) else "missed",
        ])
    return aligned(rows)
