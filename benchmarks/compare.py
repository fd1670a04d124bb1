"""Side by side: this broker, mosquitto and rumqttd under the same loads, in the same minutes.

    python benchmarks/compare.py                       every load of the main table, three times
    python benchmarks/compare.py --quick one qos1      two loads, once, shorter
    python benchmarks/compare.py --list                the loads, and the generator's arguments for each

README.md beside this file says how to read the tables. Ends with status 1 when our own broker did not deliver in full.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import report
from brokers import BROKERS, Broker, Placement, RunningBroker, running
from generator import Generator, GeneratorError, Run, build
from loads import GROUPS, LOADS, Kind, Load, chosen

Results = dict[str, list[Run]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.split("\n")[0])
    parser.add_argument("loads", nargs="*", default=["main"], help=f"names, or groups: {', '.join(GROUPS)} (main)")
    parser.add_argument("--list", action="store_true", help="show the loads and end")
    parser.add_argument("--quick", action="store_true", help="one run of a second each")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each load (3)")
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long a run takes (3)")
    parser.add_argument("--brokers", default=",".join(BROKERS), help="which ones (%(default)s)")
    parser.add_argument("--cores", default="0,1", help="of the broker and of the generator (0,1)")
    parser.add_argument("--realtime", action="store_true", help="both under SCHED_RR, for a busy machine")
    parser.add_argument("--json", type=Path, help="write every run's figures to this file")
    options = parser.parse_args()
    if options.quick:
        options.repeat, options.seconds = 1, 1.0
    return options


def available(names: list[str]) -> list[Broker]:
    found = []
    for name in names:
        if name not in BROKERS:
            raise ValueError(f"no such broker: {name} (known: {', '.join(BROKERS)})")
        if advice := BROKERS[name].missing():
            print(f"{name} is left out: {advice}\n")
        else:
            found.append(BROKERS[name])
    return found


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine())
    return f"{cpu}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def run_load(load: Load, brokers: list[Broker], generator: Generator, placement: Placement, repeat: int) -> Results:
    """All brokers stand beside each other, and take turns, so that what happens to the machine happens to all. Memory
    is measured in fresh processes: one that has grown before need not grow again."""
    results: Results = {broker.name: [] for broker in brokers}
    rounds = [1] * repeat if load.kind is Kind.MEMORY else [repeat]
    for runs in rounds:
        with ExitStack() as stack:
            started = [stack.enter_context(running(broker, placement)) for broker in brokers]
            for _ in range(runs):
                for broker in started:
                    take_turn(load, broker, generator, results)
    return {name: runs for name, runs in results.items() if runs}


def take_turn(load: Load, broker: RunningBroker, generator: Generator, results: Results) -> None:
    try:
        results[broker.name].append(generator.measure(broker, load))
    except GeneratorError as error:
        print(f"{broker.name} gave no result for {load.name}: {error}\n")


def show_loads() -> None:
    for load in LOADS:
        count = f" {load.counted} {load.probe}" if load.probe else ""
        print(f"{load.name:14} {load.group:6} {load.title}")
        print(f"{'':21} build/loadgen {load.arguments}{count} --cpu 1 --port 1883")


def main() -> int:
    options = arguments()
    if options.list:
        show_loads()
        return 0
    try:
        loads, brokers = chosen(options.loads), available(options.brokers.split(","))
        build()
    except (ValueError, GeneratorError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    broker_core, generator_core = (int(core) for core in options.cores.split(","))
    placement = Placement(broker_core, options.realtime)
    generator = Generator(Placement(generator_core, options.realtime), options.seconds)
    print(machine())
    print(", ".join(f"{broker.name} {broker.version()}" for broker in brokers))
    cores = f"broker on core {broker_core}, generator on core {generator_core}"
    print(f"{options.repeat} x {options.seconds:g} s a load, {cores}\n")
    everything: dict[str, Results] = {}
    for load in loads:
        everything[load.name] = run_load(load, brokers, generator, placement, options.repeat)
        print(report.table(load, everything[load.name]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(everything, default=asdict, indent=1))
    ours = [run for of in everything.values() for run in of.get(report.OURS, [])]
    return 1 if any(run.delivered < 1 for run in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
