"""What an operator sees of a broker under load, and the memory it takes."""

from __future__ import annotations

import threading
from typing import Any

import requests

from tests.broker_process import BrokerProcess

MIB = 1 << 20


def session(broker: BrokerProcess, client_id: str) -> dict[str, Any]:
    (row,) = broker.api("GET", f"/sessions/{client_id}").json()
    return row


def metrics(broker: BrokerProcess) -> dict[str, int]:
    return broker.api("GET", "/nodes/emqx@127.0.0.1/metrics/?_fields=extended").json()


def gauges(broker: BrokerProcess) -> dict[str, float]:
    """What `/metrics` shows without labels."""
    lines = requests.get(f"{broker.base_url}/metrics", timeout=10).text.splitlines()
    pairs = (line.split() for line in lines if line[0] != "#" and "{" not in line)
    return {name: float(value) for name, value in pairs}


def shutdown_count(broker: BrokerProcess) -> dict[str, int]:
    """The reasons for which connections of the external listener ended."""
    (node,) = broker.api("GET", "/listeners/").json()
    (row,) = [row for row in node["listeners"] if row["listen_on"] == f"127.0.0.1:{broker.mqtt_port}"]
    return dict(row["shutdown_count"])


class PeakMemory:
    """`with PeakMemory(broker) as peak: ...`; `peak.grown` is the most that the worker had above its size before."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.worker = broker.worker
        self.before = self.highest = self.worker.memory_info().rss
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.done.wait(0.01):
            self.highest = max(self.highest, self.worker.memory_info().rss)

    def __enter__(self) -> PeakMemory:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    @property
    def grown(self) -> int:
        return self.highest - self.before
