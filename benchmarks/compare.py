"""Side by side: this broker and its peers under the same loads, in the same minutes.

    python benchmarks/compare.py                       everything, five runs of each load
    python benchmarks/compare.py --quick               the main table, once, shorter: a minute or two
    python benchmarks/compare.py one qos1              two loads
    python benchmarks/compare.py --list                the loads, and the generator's arguments for each

Tables, figures (results.json) and plots go to benchmarks/results/, after an interrupt those of the loads that were
finished. README.md beside this file says how to read them.
The exit status is 0, or 1 when this broker gave no result, did not deliver in full or missed a floor, or 2 when
nothing could be measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import report
from brokers import CHECKOUT, Broker, Placement
from contest import Results, run_load
from generator import Generator, GeneratorError, Run, build
from goals import verdicts
from loads import BY_NAME, EVERYTHING, GROUPS, LOADS, chosen
from machine import machine
from peers import BROKERS, OURS, available

RESULTS = CHECKOUT / "benchmarks" / "results"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.split("\n")[0])
    parser.add_argument("loads", nargs="*", help=f"names, or groups: {', '.join(GROUPS)} (all but transports)")
    parser.add_argument("--list", action="store_true", help="show the loads and end")
    parser.add_argument("--quick", action="store_true", help="the main table, one run of a third of a second each")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each load (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a run takes (1)")
    parser.add_argument("--brokers", default=",".join(BROKERS), help="which ones (%(default)s)")
    parser.add_argument("--install", action="store_true", help="install missing peers first")
    parser.add_argument("--cores", default="0,1", help="of the broker and of the generator (0,1)")
    parser.add_argument("--realtime", action="store_true", help="both under SCHED_RR, for a busy machine")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write to (%(default)s)")
    parser.add_argument("--add", action="store_true", help="keep what is there of other loads")
    options = parser.parse_args()
    if options.quick:
        options.repeat, options.seconds = 1, 0.3
    options.loads = options.loads or (["main"] if options.quick else EVERYTHING)
    return options


def show_loads() -> None:
    for load in LOADS:
        count = f" {load.counted} {load.probe}" if load.probe else ""
        print(f"{load.name:18} {load.group:10} {load.title}")
        print(f"{'':29} build/loadgen {load.arguments}{count} --cpu 1 --port 1883")


def about(options: argparse.Namespace, brokers: list[Broker]) -> dict[str, Any]:
    broker_core, generator_core = options.cores.split(",")
    how = f"{options.repeat} x {options.seconds:g} s a load, broker on core {broker_core}, generator on core " \
          f"{generator_core}" + (", SCHED_RR" if options.realtime else "")
    return {"machine": machine(), "brokers": {broker.name: broker.version() for broker in brokers}, "how": how}


def heading(facts: dict[str, Any]) -> str:
    lines = [*facts["machine"].items(), *facts["brokers"].items(), ("measured", facts["how"])]
    return report.aligned([["", ""], *([name, str(value)] for name, value in lines)])


def read_results(file: Path) -> dict[str, Results]:
    loads = json.loads(file.read_text())["loads"]
    return {load: {row: [Run(**run) for run in runs] for row, runs in rows.items()} for load, rows in loads.items()}


def write_results(directory: Path, facts: dict[str, Any], everything: dict[str, Results]) -> str:
    """results.json, tables.md and the plots. Returns the summary."""
    import plots

    directory.mkdir(parents=True, exist_ok=True)
    found = verdicts(everything)
    whole = facts | {
        "loads": {load: {row: [dataclasses.asdict(run) for run in runs] for row, runs in rows.items()}
                  for load, rows in everything.items()},
        "goals": [dataclasses.asdict(verdict) for verdict in found],
    }
    (directory / "results.json").write_text(json.dumps(whole, indent=1))
    summary = f"{report.summary(everything, list(facts['brokers']))}\n{report.goal_table(found)}"
    tables = "\n".join(report.table(BY_NAME[name], results) for name, results in everything.items())
    (directory / "tables.md").write_text(f"{heading(facts)}\n{summary}\n{tables}")
    plots.draw(everything, directory)
    return summary


def main() -> int:
    options = arguments()
    if options.list:
        show_loads()
        return 0
    try:
        loads, brokers = chosen(options.loads), available(options.brokers.split(","), options.install)
        build()
    except (ValueError, GeneratorError, subprocess.CalledProcessError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    broker_core, generator_core = (int(core) for core in options.cores.split(","))
    placement = Placement(broker_core, options.realtime)
    generator = Generator(Placement(generator_core, options.realtime), options.seconds)
    facts = about(options, brokers)
    print(heading(facts))
    file = options.results / "results.json"
    everything = read_results(file) if options.add and file.exists() else {}
    measured: dict[str, Results] = {}
    failed = False
    for load in loads:
        try:
            measured[load.name] = everything[load.name] = run_load(load, brokers, generator, placement, options.repeat)
        except GeneratorError as error:
            print(f"{load.name} is left out: {error}\n")
            failed = True
            continue
        except KeyboardInterrupt:
            print(f"Interrupted in {load.name}.\n")
            failed = True
            break
        print(report.table(load, measured[load.name]), flush=True)
    print(write_results(options.results, facts, everything))
    print(f"Figures, tables and plots are in {options.results}")
    lost = any(run.delivered < 1 for rows in measured.values() for run in rows.get(OURS, []))
    failed |= any(broker.name == OURS for broker in brokers) and any(not rows.get(OURS) for rows in measured.values())
    return 1 if failed or lost or any(verdict.misses_floor for verdict in verdicts(measured)) else 0


if __name__ == "__main__":
    sys.exit(main())
