"""Durable QoS 1: messages to persistent subscribers, acknowledged after they are on disk, beside mosquitto.

    python benchmarks/bench_durable.py [messages]

This broker with `durability` fsync, async and off, and mosquitto with persistence on: it writes its file when it ends
and every half hour, and acknowledges before. Nothing is pinned: broker, store process and generator share the cores.
Latency is from sending to PUBACK at 20,000 messages a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from brokers import Broker, Ports, running
from generator import PROGRAM, build
from peers import BROKERS, MOSQUITTO_CONFIGURATION, mosquitto_program, our_command

COMMON = ["flow", "--persistent", "--qos", "1", "--pubs", "10", "--subs", "10"]
FLOW = [*COMMON, "--window", "100", "--batch", "32"]
PACED = [*COMMON, "--window", "1000", "--acks", "--rate", "20000", "--tick", "1000"]


def ours(durability: str) -> Broker:
    def command(ports: Ports, directory: Path) -> list[str]:
        return our_command(ports, directory, DURABILITY=durability)

    return replace(BROKERS["ours"], name=f"ours, {durability}", command=command)


def mosquitto() -> Broker:
    def command(ports: Ports, directory: Path) -> list[str]:
        conf = directory / "mosquitto.conf"
        text = MOSQUITTO_CONFIGURATION.format(**ports).replace("persistence false", "persistence true")
        conf.write_text(f"{text}persistence_location {directory}/\n")
        return [mosquitto_program(), "-c", str(conf)]

    return replace(BROKERS["mosquitto"], name="mosquitto, persistence", command=command)


def load(port: int, arguments: list[str], messages: int) -> dict[str, Any]:
    done = subprocess.run([PROGRAM, *arguments, "--port", str(port), "--messages", str(messages)],
                          capture_output=True, text=True, timeout=300, check=False)
    figures: dict[str, Any] = json.loads(done.stdout)
    assert figures["delivered"] == 1.0, f"not everything was delivered: {figures}"
    return figures


def main() -> None:
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    build()
    print(f"{'':26}{'msg/s':>10}{'ack p50 ms':>12}{'ack p99 ms':>12}")
    for broker in (ours("fsync"), ours("async"), ours("off"), mosquitto()):
        with running(broker, lambda: None) as started:  # type: ignore[arg-type]
            load(started.port, FLOW, messages // 10)
            rate = load(started.port, FLOW, messages)["rate"]
            paced = load(started.port, PACED, 60_000)
            p50, p99 = paced["p50_us"] / 1000, paced["p99_us"] / 1000
            print(f"{broker.name:26}{rate:10,.0f}{p50:12.2f}{p99:12.2f}", flush=True)


if __name__ == "__main__":
    main()
