"""Slow subscribers: who makes messages wait, and for how long."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.clients.raw import PUBACK, PUBLISH, Raw


@contextmanager
def quiet(broker: BrokerProcess, client_id: str, topic: str, qos: int) -> Iterator[Raw]:
    """A client that says nothing of what it gets, and does not even read it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", broker.mqtt_port))
    client = Raw(sock, 4).connect(client_id)
    client.subscribe(topic, qos=qos)
    try:
        yield client
    finally:
        client.drop()


def ranked(broker: BrokerProcess) -> list[dict[str, Any]]:
    return broker.api("GET", "slow_subscribers/").json()["items"]  # type: ignore[no-any-return]


def gauge(broker: BrokerProcess, name: str) -> float:
    text = requests.get(f"{broker.base_url}/metrics", timeout=10).text
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


def test_the_longest_waits_first(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({"EMQX_MANAGEMENT__SLOW_SUBSCRIBER_THRESHOLD": "200ms"})
    publisher = Client(broker.mqtt_port, "publisher")
    publisher.subscribe("slow/#", 1)  # it acknowledges at once
    with quiet(broker, "first", "slow/a", 1) as first, quiet(broker, "second", "slow/#", 1):
        publisher.paho.publish("slow/a", "x", qos=1).wait_for_publish(10)
        wait_until(lambda: len(ranked(broker)) == 2, 10, "both")
        publisher.paho.publish("slow/b", "x", qos=1).wait_for_publish(10)
        shown = {row["client_id"]: row for row in ranked(broker)}
        assert set(shown) == {"first", "second"}
        assert all(row["topic"] == "slow/a" and row["waits_ms"] >= 200 for row in shown.values())
        assert gauge(broker, "emqx_slow_subscribers") == 2
        assert gauge(broker, "emqx_slowest_subscriber_seconds") >= 0.2
        first.ack(PUBACK, first.expect(PUBLISH).pid)
        wait_until(lambda: gauge(broker, "emqx_slow_subscribers") == 1, 10, "the first to be quick again")
        wait_until(lambda: [row["client_id"] for row in ranked(broker)] == ["second", "first"], 10, "the order")
        slowest = ranked(broker)[0]
        assert slowest["in_flight"] == 2
        assert slowest["highest_ms"] >= slowest["waits_ms"] >= 200
        found = broker.api("GET", "slow_subscribers/?_gte_highest_ms=200&client_id=second").json()
        assert found["meta"]["count"] == 1
    wait_until(lambda: gauge(broker, "emqx_slow_subscribers") == 0, 10, "both to be gone")
    assert len(ranked(broker)) == 2  # what was is known for a while
    assert broker.api("DELETE", "slow_subscribers/").json() == "ok"
    assert ranked(broker) == []
    publisher.close()


def test_a_socket_that_takes_nothing(broker: BrokerProcess) -> None:
    """QoS 0: there is no acknowledgement, only bytes that do not go."""
    publisher = Client(broker.mqtt_port, "flooding")
    with quiet(broker, "deaf", "deaf", 0):
        for _ in range(200):
            publisher.paho.publish("deaf", b"x" * 65_000, qos=1).wait_for_publish(10)
        row = wait_until(lambda: next(iter(ranked(broker)), None), 10, "the slow one")
        assert (row["client_id"], row["topic"]) == ("deaf", "undefined")
        assert row["waits_ms"] >= 500
        assert row["waiting_bytes"] > 65_000
    publisher.close()
