"""The load generator: built when its source is newer, run on its core, its result as a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brokers import Placement, RunningBroker
from loads import Kind, Load

SOURCE = Path(__file__).with_name("loadgen.c")
PROGRAM = SOURCE.parent.parent / "build" / "loadgen"
AT_MOST = 300.0  # seconds for one run
CONNECTIONS_BEFORE = "idle --connections 500"  # what a broker allocates once is no part of a connection's memory


@dataclass(slots=True)
class Run:
    """One run of one load. `rate` is deliveries (or connects) a second, times are microseconds, memory is bytes."""

    rate: float = 0.0
    delivered: float = 0.0
    seconds: float = 0.0
    cpu_percent: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0
    memory: float = 0.0
    complaint: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


def transport(arguments: list[str]) -> str:
    if "--ws" in arguments:
        return "wss" if "--tls" in arguments else "ws"
    return "tls" if "--tls" in arguments else "tcp"


class GeneratorError(Exception):
    """The generator ended without a result; the text is what it said."""


def build() -> None:
    """Compiles the generator unless that is done. Native code: it runs where it was built."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise GeneratorError("the load generator needs a C compiler: apt-get install gcc")
    PROGRAM.parent.mkdir(exist_ok=True)
    subprocess.run([compiler, "-O3", "-march=native", "-Wall", "-Wextra", "-o", PROGRAM, SOURCE], check=True)


def complaint(figures: dict[str, Any]) -> str:
    """What in the books is not as it should be, in words; empty when all is well."""
    wrong = ("lost", "duplicated", "out_of_order", "corrupt", "bad_acks", "disconnects", "refused")
    reason = figures.get("disconnect_reason")
    said = [f"DISCONNECT said 0x{reason:02x}"] if reason else []
    return ", ".join([f"{figures[name]:,} {name.replace('_', ' ')}" for name in wrong if figures.get(name)] + said)


def to_run(output: str) -> Run:
    figures = json.loads(output)
    known = {name: figures[name] for name in Run.__slots__ if name in figures}
    return Run(**known, complaint=complaint(figures), figures=figures)


class Generator:
    def __init__(self, placement: Placement, seconds: float) -> None:
        self.placement = placement
        self.seconds = seconds
        self.counts: dict[tuple[str, str], int] = {}

    def command(self, broker: RunningBroker, arguments: list[str]) -> list[str]:
        port = broker.ports[transport(arguments)]
        return [str(PROGRAM), *arguments, "--port", str(port), "--label", broker.name]

    def once(self, broker: RunningBroker, arguments: list[str]) -> Run:
        done = subprocess.run(
            self.command(broker, arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=AT_MOST,
            preexec_fn=self.placement,
            check=False,
        )
        if not done.stdout:
            raise GeneratorError(done.stderr.strip() or f"status {done.returncode}")
        return to_run(done.stdout)

    def measure(self, broker: RunningBroker, load: Load) -> Run:
        if load.kind is Kind.MEMORY:
            return self.measure_memory(broker, load)
        arguments = load.command()
        if load.probe:
            arguments += [load.counted, str(self.count_for(broker, load))]
        return self.once(broker, arguments)

    def count_for(self, broker: RunningBroker, load: Load) -> int:
        """Messages that take this broker as long as a run should: every broker gets equal time, not equal work."""
        key = (broker.name, load.name)
        if key in self.counts:
            return self.counts[key]
        count = load.probe
        while True:
            run = self.once(broker, [*load.command(), load.counted, str(count)])
            if run.delivered < 1:
                return count
            factor = self.seconds / run.seconds
            if factor < 4:
                break
            count = int(count * min(20, factor))
        self.counts[key] = max(load.probe, int(count * factor))
        return self.counts[key]

    def measure_memory(self, broker: RunningBroker, load: Load) -> Run:
        self.once(broker, CONNECTIONS_BEFORE.split() + [word for word in load.command() if word in ("--tls", "--ws")])
        before = broker.memory()
        holder = subprocess.Popen(
            self.command(broker, load.command()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.placement,
        )
        assert holder.stdout is not None
        ready = holder.stdout.readline()
        after = broker.memory()
        output, errors = holder.communicate(timeout=AT_MOST)
        if ready != "READY\n":
            raise GeneratorError(errors.strip() or f"status {holder.returncode}")
        run = to_run(output)
        run.memory = (after - before) / run.figures["expected"]
        run.delivered = run.figures["received"] / run.figures["expected"]
        return run
