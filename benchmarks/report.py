"""Tables: a load each, a broker a row, medians with their spread."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from generator import Run
from loads import Kind, Load

Column = tuple[str, Callable[[list[Run]], str]]
OURS = "ours"
GENERATOR_LIMIT = 90  # per cent of its core


def spread(name: str, digits: int = 0) -> Callable[[list[Run]], str]:
    """Median of a field, with the least and the most when there was more than one run."""

    def cell(runs: list[Run]) -> str:
        values = [getattr(run, name) for run in runs]
        text = f"{median(values):,.{digits}f}"
        return text if len(runs) == 1 else f"{text} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"

    return cell


def middle(name: str) -> Callable[[list[Run]], str]:
    return lambda runs: f"{median(getattr(run, name) for run in runs):,.0f}"


def generator_cpu(runs: list[Run]) -> str:
    """Says so where the broker waited for the generator: its true figure is then this or better."""
    percent = median(run.cpu_percent for run in runs)
    return f"{percent:.0f} %" + (" (limit)" if percent >= GENERATOR_LIMIT else "")


def delivered(runs: list[Run]) -> str:
    """The worst run's share and complaint: a loss is not averaged away."""
    worst = min(runs, key=lambda run: (run.delivered, not run.complaint))
    if worst.delivered < 1:
        return f"NOT IN FULL: {100 * worst.delivered:.2f} % ({worst.complaint})"
    return "all" + (f" ({worst.complaint})" if worst.complaint else "")


COLUMNS: dict[Kind, list[Column]] = {
    Kind.THROUGHPUT: [
        ("msg/s", spread("rate")),
        ("delivered", delivered),
        ("generator CPU", generator_cpu),
    ],
    Kind.LATENCY: [
        ("p50 µs", spread("p50_us")),
        ("p99 µs", spread("p99_us")),
        ("p99.9 µs", spread("p999_us")),
        ("delivered", delivered),
        ("msg/s", middle("rate")),
    ],
    Kind.CONNECTS: [
        ("connects/s", spread("rate")),
        ("p50 µs", middle("p50_us")),
        ("p99 µs", middle("p99_us")),
        ("served", delivered),
        ("generator CPU", generator_cpu),
    ],
    Kind.MEMORY: [("bytes a connection", spread("memory")), ("stayed open", delivered)],
}
COMPARED = {Kind.THROUGHPUT: "rate", Kind.LATENCY: "p50_us", Kind.CONNECTS: "rate", Kind.MEMORY: "memory"}


def ratio(load: Load, runs: list[Run], peer: list[Run]) -> str:
    """This broker's median over the peer's. For latency, p50 / p99. Below one is better for latency and memory."""
    names = ["p50_us", "p99_us"] if load.kind is Kind.LATENCY else [COMPARED[load.kind]]
    pairs = [(median(getattr(r, name) for r in runs), median(getattr(r, name) for r in peer)) for name in names]
    return " / ".join(f"{mine / theirs:.2f}x" if theirs else "-" for mine, theirs in pairs)


def table(load: Load, results: dict[str, list[Run]]) -> str:
    """A Markdown table. `results` has the brokers that gave a result, in the order of rows."""
    peers = [name for name in results if name != OURS]
    columns = COLUMNS[load.kind]
    rows = [["broker", *(title for title, _ in columns), *(f"to {peer}" for peer in peers)]]
    for name, runs in results.items():
        ratios = ["" if name == peer else ratio(load, runs, results[peer]) for peer in peers]
        rows.append([name, *(cell(runs) for _, cell in columns), *ratios])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return f"### {load.title}  (`{load.name}`)\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"
