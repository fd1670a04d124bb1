"""A load and the brokers that run it in turns, under the same condition, in the same minutes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from brokers import Broker, Placement, RunningBroker, running
from generator import Generator, GeneratorError, Run
from loads import BY_NAME, Condition, Kind, Load
from peers import APPLICATION

Results = dict[str, list[Run]]  # by the name of a row
ROUTER_ALONE = "ours, router alone"
PLAIN = ", plain"  # behind the name of a broker: the row of the load that another one stands beside
RETAINED = Load("", "", "retain --messages 100000")
FORBIDDEN = Load("", "", "retain --messages 1 --quiet 300")
REFUSALS = ("SUBACK says 0x80", "0 of 1 retained messages came")
AT_MOST = 2  # runs of what varies little or is one point of a curve


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the load's table."""

    name: str
    broker: Broker
    load: Load


def entries(load: Load, brokers: list[Broker]) -> list[Entry]:
    """Which brokers can do it, and each of them without the condition where that is what it is compared with."""
    able = [broker for broker in brokers if can(broker, load)]
    rows = [Entry(broker.name, under(load, broker), load) for broker in able]
    if load.beside:
        rows += [Entry(broker.name + PLAIN, broker, BY_NAME[load.beside]) for broker in able]
    return rows


def can(broker: Broker, load: Load) -> bool:
    fits = {
        Condition.PLAIN: True,
        Condition.RETAINED: True,
        Condition.ACL: broker.with_acl is not None,
        Condition.SCRAPED: bool(broker.scraped),
    }
    spoken = load.version in broker.versions and load.port in broker.ports
    return fits[load.condition] and spoken and not (broker.slow and load.group != "main")


def under(load: Load, broker: Broker) -> Broker:
    if load.condition is Condition.ACL and broker.with_acl:
        return replace(broker, command=broker.with_acl)
    if load.kind is Kind.LATENCY and broker.prompt:
        return replace(broker, command=broker.prompt)
    return broker


def run_load(load: Load, brokers: list[Broker], generator: Generator, placement: Placement, repeat: int) -> Results:
    """All brokers stand beside each other, and take turns, so that what happens to the machine happens to all. Memory
    is measured in fresh processes: one that has grown before need not grow again."""
    weighed = load.kind in (Kind.MEMORY, Kind.FILTERS)
    runs = min(repeat, AT_MOST) if load.curve or weighed else repeat
    results: Results = {}
    for turns in [1] * runs if weighed else [runs]:
        with contextlib.ExitStack() as stack:
            ready = [(entry, broker) for entry in entries(load, brokers)
                     if (broker := started(entry, generator, placement, stack))]
            for _ in range(turns):
                ready = [(entry, broker) for entry, broker in ready if take_turn(entry, broker, generator, results)]
        if load.name == "filters":
            results.setdefault(ROUTER_ALONE, []).append(router_alone(placement))
    return results


def started(entry: Entry, generator: Generator, placement: Placement, stack: contextlib.ExitStack
            ) -> RunningBroker | None:
    """The broker in the load's condition; None, after a line that says why, when it does not come to be."""
    try:
        broker = stack.enter_context(running(replace(entry.broker, name=entry.name), placement))
        if entry.load.condition is Condition.RETAINED:
            generator.once(broker, RETAINED, [])
        if entry.load.condition is Condition.ACL:
            check_refused(broker, generator)
        if entry.load.condition is Condition.SCRAPED:
            stack.enter_context(scraping(broker, entry.broker.scraped))
    except (RuntimeError, GeneratorError) as error:
        print(f"{entry.name} is left out of {entry.load.name}: {error}\n")
        return None
    return broker


def take_turn(entry: Entry, broker: RunningBroker, generator: Generator, results: Results) -> bool:
    """Whether it gave a result."""
    try:
        run = generator.measure(broker, entry.load)
    except GeneratorError as error:
        print(f"{entry.name} gave no result for {entry.load.name}: {error}\n")
        return False
    results.setdefault(entry.name, []).append(run)
    return True


def check_refused(broker: RunningBroker, generator: Generator) -> None:
    """That the rules are in force: nothing comes to a topic that none of them allows, or it cannot be subscribed to."""
    try:
        generator.once(broker, FORBIDDEN, [])
    except GeneratorError as error:
        if any(words in str(error) for words in REFUSALS):
            return
    raise GeneratorError("the access rules are not in force")


@contextlib.contextmanager
def scraping(broker: RunningBroker, path: str) -> Iterator[None]:
    """Fetches the Prometheus text each second. GeneratorError at the end if that ever failed."""
    ended, failures = threading.Event(), []
    url = f"http://127.0.0.1:{broker.api_port}{path}"
    token = base64.b64encode(":".join(APPLICATION).encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})

    def scrape() -> None:
        while not ended.wait(1):
            try:
                with urllib.request.urlopen(request, timeout=10) as response:
                    response.read()
            except OSError as error:
                failures.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failures:
        raise GeneratorError(f"{url}: {failures[0]}")


def router_alone(placement: Placement) -> Run:
    """The same filters and topics without a network, in a process of its own."""
    program = Path(__file__).with_name("bench_router.py")
    environment = os.environ | {"PYTHONPATH": str(program.parent.parent)}
    done = subprocess.run([sys.executable, str(program), "--json"], capture_output=True, text=True, check=True,
                          env=environment, preexec_fn=placement)
    figures = json.loads(done.stdout)
    return Run(rate=figures["cold"], subscribe_rate=figures["subscribes"], memory=figures["bytes"], delivered=1.0,
               figures=figures)
