"""The load generator: built when its source is newer, run on its core, its result as a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brokers import Placement, RunningBroker
from loads import Kind, Load

SOURCES = Path(__file__).with_name("loadgen")
PROGRAM = SOURCES.parent.parent / "build" / "loadgen"
AT_MOST = 300.0  # seconds for one run
CONNECTIONS_BEFORE = "idle --connections 500"  # what a broker allocates once is no part of a connection's memory


@dataclass(slots=True)
class Run:
    """One run of one load. `rate` is deliveries (or connects) a second, times are microseconds, memory is bytes a
    connection or a filter, `broker_ns` the CPU time of the broker for each delivery. `figures` is all that the
    generator said."""

    rate: float = 0.0
    delivered: float = 0.0
    seconds: float = 0.0
    cpu_percent: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    p999_us: float = 0.0
    memory: float = 0.0
    subscribe_rate: float = 0.0
    broker_ns: float = 0.0
    complaint: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


class GeneratorError(Exception):
    """The generator ended without a result; the text is what it said."""


def build() -> None:
    """Compiles the generator unless that is done. Native code: it runs where it was built."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > max(source.stat().st_mtime for source in sources):
        return
    compiler = shutil.which(os.environ.get("CC", "gcc"))
    if compiler is None:
        raise GeneratorError("the load generator needs a C compiler: apt-get install gcc")
    PROGRAM.parent.mkdir(exist_ok=True)
    flags = ["-O3", "-march=native", "-flto", "-Wall", "-Wextra"]
    subprocess.run([compiler, *flags, "-o", PROGRAM, *SOURCES.glob("*.c")], check=True)


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

    def command(self, broker: RunningBroker, load: Load, more: list[str]) -> list[str]:
        return [str(PROGRAM), *load.command(), *more, "--port", str(broker.ports[load.port]), "--label", broker.name]

    def once(self, broker: RunningBroker, load: Load, more: list[str]) -> Run:
        try:
            done = subprocess.run(
                self.command(broker, load, more),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=AT_MOST,
                preexec_fn=self.placement,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GeneratorError(f"not done after {AT_MOST:.0f} s") from error
        if not done.stdout:
            raise GeneratorError(done.stderr.strip() or f"status {done.returncode}")
        return to_run(done.stdout.splitlines()[-1])

    def measure(self, broker: RunningBroker, load: Load) -> Run:
        if load.kind in (Kind.MEMORY, Kind.FILTERS):
            return self.measure_memory(broker, load)
        more = [load.counted, str(self.count_for(broker, load))] if load.probe else []
        before = broker.cpu_seconds()
        run = self.once(broker, load, more)
        run.broker_ns = 1e9 * (broker.cpu_seconds() - before) / max(1, run.figures["received"])
        return run

    def count_for(self, broker: RunningBroker, load: Load) -> int:
        """Messages that take this broker as long as a run should: every broker gets equal time, not equal work."""
        key = (broker.name, load.name)
        if key in self.counts:
            return self.counts[key]
        count = max(1, load.probe // 10)
        while True:
            run = self.once(broker, load, [load.counted, str(count)])
            if run.delivered < 1:
                return count
            factor = self.seconds / run.seconds
            if factor < 4:
                break
            count = int(count * min(20, factor))
        self.counts[key] = max(1, int(count * factor))
        return self.counts[key]

    def measure_memory(self, broker: RunningBroker, load: Load) -> Run:
        """What memory grows by until the generator says that everything is there, a connection or a filter."""
        flags = [word for word in load.command() if word in ("--tls", "--ws")]
        self.once(broker, replace(load, arguments=" ".join([CONNECTIONS_BEFORE, *flags])), [])
        before = broker.memory()
        holder = subprocess.Popen(
            self.command(broker, load, []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.placement,
        )
        assert holder.stdout is not None
        ready = holder.stdout.readline()
        after = broker.memory()
        try:
            output, errors = holder.communicate(timeout=AT_MOST)
        except subprocess.TimeoutExpired as error:
            raise GeneratorError(f"not done after {AT_MOST:.0f} s") from error
        finally:
            holder.kill()
        if ready != "READY\n" or not output:
            raise GeneratorError(errors.strip() or f"status {holder.returncode}")
        run = to_run(output)
        run.memory = (after - before) / run.figures.get("filters", run.figures["expected"])
        return run
