"""The REST API as a monitoring tool uses it, and what that costs the MQTT clients.

    python benchmarks/bench_rest.py [--connections 5000] [--requests 200]

Each resource is fetched again and again over one kept-alive connection: on a quiet broker, with 20,000 messages a
second through it, and while a publisher floods it; and from RabbitMQ's management API, where that is installed, with as
many MQTT connections. Then the other way round: the latency of those 20,000 messages, with and without somebody
polling. Every answer must be a 200, and a page must be full.
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
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from brokers import Placement, RunningBroker, running
from generator import PROGRAM, build
from peers import APPLICATION, BROKERS
from rabbitmq import CREDENTIALS, MISSING, rabbitmq

NODE = "emqx@127.0.0.1"
PAGE = 500
RESOURCES = {
    "overview": f"/api/v3/nodes/{NODE}",
    "metrics": "/api/v3/metrics/",
    "stats": "/api/v3/stats/",
    "Prometheus text": "/metrics",
    "one connection": "/api/v3/connections/{client}",
    "500 connections": f"/api/v3/nodes/{NODE}/connections/?_page=1&_limit={PAGE}",
    "all connections": f"/api/v3/nodes/{NODE}/connections/?_page=1&_limit=1000000",
    "filtered": "/api/v3/connections/?_like_client_id=77",
    "500 subscriptions": f"/api/v3/nodes/{NODE}/subscriptions/?_page=1&_limit={PAGE}",
}
# The same questions as RabbitMQ has them.
THEIRS = {
    "overview": "/api/overview",
    "one connection": "/api/connections/{client}",
    "500 connections": f"/api/connections?page=1&page_size={PAGE}",
    "all connections": "/api/connections",
}
THEIR_STATISTICS_S = 60.0  # how long it may take until all connections have sent theirs
PACED = "flow --pubs 10 --subs 10 --batch 100 --rate 20000 --tick 1000 --nodelay"
POLLED_S = 5.0
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
    """One connection to a REST API. `resources`: their paths, with `{client}` for the name of a connection."""

    def __init__(self, port: int, credentials: tuple[str, str] = APPLICATION,
                 resources: dict[str, str] = RESOURCES, client: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        encoded = base64.b64encode(":".join(credentials).encode()).decode()
        self.headers = {"Authorization": f"Basic {encoded}"}
        self.resources = {name: path.format(client=client) for name, path in resources.items()}

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:200]!r}")
        return body


def poll(api: Api, resource: str, requests: int) -> Answers:
    """As often as that, or for five seconds."""
    times: list[float] = []
    body = b""
    begun = time.perf_counter()
    while len(times) < requests and time.perf_counter() < begun + POLLED_S:
        started = time.perf_counter()
        body = api.get(api.resources[resource])
        times.append(1000 * (time.perf_counter() - started))
    if resource.startswith(f"{PAGE} ") and len(json.loads(body)["items"]) != PAGE:
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


def poll_all(api: Api, title: str, requests: int) -> None:
    print(f"{title}\n{'':18} {'req/s':>8} {'p50 ms':>9} {'p99 ms':>9} {'max ms':>9} {'bytes':>11}")
    for resource in api.resources:
        print(f"{resource:18} {poll(api, resource, requests).row()}", flush=True)
    print()


@contextlib.contextmanager
def idle_clients(broker: RunningBroker, count: int, placement: Placement) -> Iterator[None]:
    arguments = f"idle --subscribe --connections {count}"
    with generator(broker, arguments, placement) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "READY\n"
        yield


def poll_rabbitmq(connections: int, requests: int, cores: tuple[Placement, Placement]) -> None:
    with rabbitmq(cores[0]) as peer, idle_clients(peer, connections, cores[1]):
        api = Api(peer.api_port, CREDENTIALS)
        deadline = time.monotonic() + THEIR_STATISTICS_S
        while len(known := json.loads(api.get("/api/connections"))) < connections or "recv_oct" not in known[-1]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ lists {len(known)} of {connections} connections")
            time.sleep(1)
        name = urllib.parse.quote(known[0]["name"], safe="")
        api = Api(peer.api_port, CREDENTIALS, THEIRS, name)
        poll_all(api, f"RabbitMQ, quiet, {connections:,} clients", requests)


def message_latency(broker: RunningBroker, api: Api, title: str, pause: float | None, placement: Placement) -> None:
    """Latency of paced messages while resources are fetched in turn, `pause` seconds between them; None: not at all.

    Real-time processes are left a tenth of each second: the kernel would take it otherwise, 50 ms in one piece.
    """
    with generator(broker, f"{PACED} --messages 80000", placement) as process:
        breath = time.monotonic()
        while pause is not None and process.poll() is None:
            for path in api.resources.values():
                api.get(path)
                time.sleep(pause)
                if placement.realtime and time.monotonic() - breath > 0.8:
                    time.sleep(0.1)
                    breath = time.monotonic()
        assert process.stdout is not None
        figures = json.loads(process.stdout.readline())
    assert figures["delivered"] == 1, figures
    print(f"{title:34} {figures['p50_us']:9,.0f} {figures['p99_us']:9,.0f} {figures['p999_us']:9,.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench_rest.py", description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, default=5000, help="clients that are connected (5000)")
    parser.add_argument("--requests", type=int, default=200, help="for each resource, or for five seconds (200)")
    parser.add_argument("--realtime", action="store_true", help="broker and generator under SCHED_RR")
    options = parser.parse_args()
    build()
    cores = Placement(0, options.realtime), Placement(1, options.realtime)
    if MISSING:
        print(f"RabbitMQ is not measured: {MISSING}\n")
    else:
        poll_rabbitmq(options.connections, options.requests, cores)
    with running(BROKERS["ours"], cores[0]) as broker, idle_clients(broker, options.connections, cores[1]):
        client = json.loads(Api(broker.api_port).get("/api/v3/connections/?_limit=1"))["items"][0]["client_id"]
        api = Api(broker.api_port, client=client)
        poll_all(api, f"quiet, {options.connections:,} clients", options.requests)
        with generator(broker, f"{PACED} --messages 100000000", cores[1]):
            poll_all(api, "20,000 messages a second", options.requests)
        with generator(broker, FLOOD, cores[1]):
            poll_all(api, "flooded", options.requests // 4)
        print(f"{'20,000 messages a second':34} {'p50 µs':>9} {'p99 µs':>9} {'p99.9 µs':>9}")
        message_latency(broker, api, "nobody polls", None, cores[1])
        message_latency(broker, api, "one request each 100 ms", 0.1, cores[1])
        message_latency(broker, api, "polled without pause", 0.0, cores[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
