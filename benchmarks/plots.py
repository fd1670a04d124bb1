"""The plots: throughput, distribution of latency, memory, and how the cost grows. Each an SVG file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import matplotlib
from contest import PLAIN, ROUTER_ALONE, Results
from generator import Run
from goals import middle
from loads import BY_NAME, LOADS, MAIN, Kind, Load
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator
from peers import BROKERS

COLOURS = dict(zip(BROKERS, ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#7f7f7f"), strict=True))
LATENCIES = ("paced0", "paced1", "even0")
CURVES: tuple[tuple[str, str, str, Callable[[Load, list[Run]], float]], ...] = (
    # curve, x axis, y axis, what of the runs
    ("connections", "connections, half of them publishers", "msg/s", lambda load, runs: middle(runs, "rate")),
    ("connections", "connections, half of them publishers", "broker CPU ns/msg",
     lambda load, runs: middle(runs, "broker_ns")),
    ("fan-out", "subscribers of one topic", "msg/s", lambda load, runs: middle(runs, "rate")),
    ("payload", "bytes of payload", "payload bytes/s", lambda load, runs: middle(runs, "rate") * load.x),
    ("memory", "idle connections", "bytes of memory", lambda load, runs: middle(runs, "memory") * load.x),
    ("filters", "wildcard filters", "bytes of memory", lambda load, runs: middle(runs, "memory") * held(runs)),
    ("filters", "wildcard filters", "subscribes/s", lambda load, runs: middle(runs, "subscribe_rate")),
    ("filters", "wildcard filters", "msg/s, each topic new", lambda load, runs: middle(runs, "rate")),
)
matplotlib.rcParams.update({
    "font.size": 9, "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.alpha": 0.3, "axes.axisbelow": True, "figure.constrained_layout.use": True,
})


def held(runs: list[Run]) -> float:
    return float(median(run.figures.get("filters", 0) for run in runs))


def draw(everything: dict[str, Results], directory: Path) -> None:
    """Those for which there are figures."""
    for name, plot in (("throughput", throughput), ("latency", latency), ("memory", memory), ("scaling", scaling)):
        if figure := plot(everything):
            figure.savefig(directory / f"{name}.svg", metadata={"Date": None})


def bars(axes: Axes, loads: list[Load], everything: dict[str, Results], measure: str) -> None:
    """Horizontal bars on a logarithmic axis: a group a load, a bar a broker, whiskers for the spread."""
    height = 0.8 / len(BROKERS)
    for i, broker in enumerate(BROKERS):
        for y, load in enumerate(loads):
            if not (runs := everything[load.name].get(broker)):
                continue
            values = [getattr(run, measure) for run in runs]
            complete = all(run.delivered == 1 for run in runs)
            at, value = y + (i - len(BROKERS) / 2 + 0.5) * height, median(values)
            axes.barh(at, value, height, color=COLOURS[broker], alpha=1 if complete else 0.35,
                      xerr=[[value - min(values)], [max(values) - value]], error_kw={"lw": 0.7})
        axes.barh(0, 0, color=COLOURS[broker], label=broker)
    axes.set_xscale("log")
    axes.set_yticks(range(len(loads)), [load.title for load in loads])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    plain_ticks(axes.xaxis)


def plain_ticks(axis: Axis) -> None:
    """Powers of ten, with units; where there are few, their halves and fifths too."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1,) if high > 50 * low else (1, 2, 5)))
    axis.set_major_formatter(EngFormatter(sep=" "))
    axis.set_minor_locator(NullLocator())


def throughput(everything: dict[str, Results]) -> Figure | None:
    loads = [load for load in MAIN if load.kind in (Kind.THROUGHPUT, Kind.CONNECTS) and load.name in everything]
    if not loads:
        return None
    figure = Figure(figsize=(9, 1 + 0.8 * len(loads)))
    axes = figure.subplots()
    bars(axes, loads, everything, "rate")
    axes.set_xlabel("messages delivered (or connects) a second; pale where messages were lost")
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, 1.08), ncols=len(BROKERS), frameon=False)
    return figure


def latency(everything: dict[str, Results]) -> Figure | None:
    """Percentiles on an axis that gives each further nine the same room."""
    loads = [BY_NAME[name] for name in LATENCIES if name in everything]
    if not loads:
        return None
    figure = Figure(figsize=(4.2 * len(loads), 3.6))
    all_axes = figure.subplots(1, len(loads), sharey=True, squeeze=False)
    for axes, load in zip(all_axes[0], loads, strict=True):
        for broker, runs in everything[load.name].items():
            if min(run.delivered for run in runs) < 1:
                continue
            points = [(1 / (1 - share), median(run.figures["distribution_us"][i][1] for run in runs))
                      for i, (share, _) in enumerate(runs[0].figures["distribution_us"]) if share < 1]
            axes.plot(*zip(*points, strict=True), color=COLOURS[broker], label=broker)
        axes.set(xscale="log", yscale="log", xlabel="percentile")
        axes.set_title(load.title, fontsize=9)
        axes.set_xticks([1, 2, 10, 100, 1000, 10_000], ["0", "50", "90", "99", "99.9", "99.99"])
        axes.xaxis.set_minor_locator(NullLocator())
    all_axes[0][0].set_ylabel("µs from due to received")
    plain_ticks(all_axes[0][0].yaxis)
    all_axes[0][-1].legend(frameon=False)
    return figure


def memory(everything: dict[str, Results]) -> Figure | None:
    loads = [load for load in (*MAIN, BY_NAME["filters"])
             if load.kind in (Kind.MEMORY, Kind.FILTERS) and load.name in everything]
    if not loads:
        return None
    figure = Figure(figsize=(9, 1 + 0.8 * len(loads)))
    axes = figure.subplots()
    bars(axes, loads, everything, "memory")
    axes.set_xlabel("bytes of resident memory a connection, or a filter")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def scaling(everything: dict[str, Results]) -> Figure | None:
    points = [load for load in LOADS if load.curve and load.name in everything]
    if not points:
        return None
    curves = [curve for curve in CURVES if any(load.curve == curve[0] for load in points)]
    rows = -(-len(curves) // 2)
    figure = Figure(figsize=(9, 3 * rows))
    all_axes = figure.subplots(rows, 2, squeeze=False)
    for axes, (curve, x_label, y_label, value) in zip(all_axes.flat, curves, strict=False):
        lines: dict[str, list[tuple[float, float]]] = {}
        for load in sorted((load for load in points if load.curve == curve), key=lambda load: load.x):
            for broker, runs in everything[load.name].items():
                x = held(runs) if load.kind is Kind.FILTERS else load.x
                if broker != ROUTER_ALONE and PLAIN not in broker and all(run.delivered == 1 for run in runs):
                    lines.setdefault(broker, []).append((x, value(load, runs)))
        for broker, line in lines.items():
            axes.plot(*zip(*line, strict=True), "o-", ms=3, color=COLOURS[broker], label=broker)
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
    for axes in all_axes.flat[len(curves):]:
        axes.set_axis_off()
    all_axes.flat[0].legend(frameon=False)
    return figure
