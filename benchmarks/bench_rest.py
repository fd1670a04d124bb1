"""The REST API as a monitoring tool uses it, and what that costs the MQTT clients.

    python benchmarks/bench_rest.py [--connections 1000] [--requests 200]

Each resource is fetched again and again over one kept-alive connection: on a quiet broker, with 20,000 messages a
second through it, and while a publisher floods it. Then the other way round: the latency of those 20,000 messages, with
and without somebody polling. Every answer must be a 200, and a page must be full.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from brokers import APPLICATION, BROKERS, Placement, RunningBroker, running
from generator import PROGRAM, build

NODE = "emqx@127.0.0.1"
RESOURCES = {
    "brokers": "/api/v3/brokers/",
    "nodes": "/api/v3/nodes/",
    "metrics": "/api/v3/metrics/",
    "stats": "/api/v3/stats/",
    "100 connections": f"/api/v3/nodes/{NODE}/connections/?_page=1&_limit=100",
    "all connections": f"/api/v3/nodes/{NODE}/connections/?_page=1&_limit=10000",
    "100 subscriptions": f"/api/v3/nodes/{NODE}/subscriptions/?_page=1&_limit=100",
}
FULL_PAGES = {"100 connections": 100, "100 subscriptions": 100}
PACED = "flow --pubs 10 --subs 10 --batch 100 --rate 20000 --tick 1000 --nodelay"
FLOOD = "flow --batch 64 --messages 4000000000"


@dataclass(slots=True)
class Answers:
    """Times of the answers to one resource in milliseconds, in order of length, and the size of one."""

    milliseconds: list[float]
    size: int

    def row(self) -> str:
        times = self.milliseconds
        p99 = times[int(len(times) * 0.99)]
        return (
            f"{1000 * len(times) / sum(times):8,.0f} {median(times):9.2f} {p99:9.2f} {times[-1]:9.2f} {self.size:11,}"
        )


class Api:
    """One connection to the REST API."""

    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        credentials = base64.b64encode(":".join(APPLICATION).encode()).decode()
        self.headers = {"Authorization": f"Basic {credentials}"}

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        return body


def poll(api: Api, resource: str, requests: int) -> Answers:
    times = []
    body = b""
    for _ in range(requests):
        started = time.perf_counter()
        body = api.get(RESOURCES[resource])
        times.append(1000 * (time.perf_counter() - started))
    if resource in FULL_PAGES and len(json.loads(body)["items"]) != FULL_PAGES[resource]:
        raise RuntimeError(f"{resource}: not a full page")
    return Answers(sorted(times), len(body))


@contextlib.contextmanager
def generator(broker: RunningBroker, arguments: str, placement: Placement) -> Iterator[subprocess.Popen[str]]:
    """The load generator beside what the block does; ended with it."""
    command = [str(PROGRAM), *arguments.split(), "--port", str(broker.port)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, preexec_fn=placement)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def poll_all(broker: RunningBroker, title: str, requests: int) -> None:
    print(f"{title}\n{'':18} {'req/s':>8} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9} {'bytes':>11}")
    api = Api(broker.api_port)
    for resource in RESOURCES:
        print(f"{resource:18} {poll(api, resource, requests).row()}", flush=True)
    print()


def message_latency(broker: RunningBroker, title: str, pause: float | None, placement: Placement) -> None:
    """Latency of paced messages while resources are fetched in turn, `pause` seconds between them; None: not at all."""
    api = Api(broker.api_port)
    with generator(broker, f"{PACED} --messages 80000", placement) as process:
        while pause is not None and process.poll() is None:
            for resource in RESOURCES:
                api.get(RESOURCES[resource])
                time.sleep(pause)
        assert process.stdout is not None
        figures = json.loads(process.stdout.readline())
    assert figures["delivered"] == 1, figures
    print(f"{title:34} {figures['p50_us']:9,.0f} {figures['p99_us']:9,.0f} {figures['p999_us']:9,.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench_rest.py", description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, default=1000, help="clients that are connected (1000)")
    parser.add_argument("--requests", type=int, default=200, help="for each resource (200)")
    parser.add_argument("--realtime", action="store_true", help="broker and generator under SCHED_RR")
    options = parser.parse_args()
    build()
    placement = Placement(1, options.realtime)
    idle = f"idle --subscribe --connections {options.connections}"
    with (
        running(BROKERS["ours"], Placement(0, options.realtime)) as broker,
        generator(broker, idle, placement) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "READY\n"
        poll_all(broker, f"quiet, {options.connections:,} clients", options.requests)
        with generator(broker, f"{PACED} --messages 100000000", placement):
            poll_all(broker, "20,000 messages a second", options.requests)
        with generator(broker, FLOOD, placement):
            poll_all(broker, "flooded", options.requests // 4)
        print(f"{'20,000 messages a second':34} {'p50 µs':>9} {'p99 µs':>9} {'p99.9 µs':>9}")
        message_latency(broker, "nobody polls", None, placement)
        message_latency(broker, "one request each 100 ms", 0.1, placement)
        message_latency(broker, "polled without pause", 0.0, placement)
    return 0


if __name__ == "__main__":
    sys.exit(main())
