"""Clients by the thousand that come and go: nobody else is dropped, and nothing of them stays."""

from __future__ import annotations

import os
import time

import pytest

from tests.broker_process import wait_until
from tests.clients.raw import Raw, packet_bytes, text
from tests.load.crowd import WITHIN, Crowd, descriptors
from tests.load.rows import MIB, shutdown_count

STAY, STORM = 5_000, 10_000
EACH = 0.2          # seconds between two messages for those who stay
CYCLES = int(os.environ.get("CHURN_CYCLES", "12000"))
AT_ONCE = 500       # of those that come and go
MAY_GROW = 2 * MIB  # between the first fifth of the cycles and the end: a hundred bytes left by each would be more
pytestmark = pytest.mark.timeout(300)


def subscribe(topic: str, qos: int = 0) -> bytes:
    return packet_bytes(0x82, b"\0\1" + text(topic) + bytes([qos]))


def current_connections(broker) -> int:
    (node,) = broker.api("GET", "/listeners/").json()
    return sum(row["current_conns"] for row in node["listeners"] if row["protocol"] == "mqtt:tcp")


@pytest.mark.skipif(descriptors() < STAY + STORM + 1000, reason="too few descriptors are allowed")
def test_a_storm_of_reconnects_drops_nobody_who_stays(start_broker):
    """Ten thousand clients with sessions lose their connections at once and come back at once."""
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__MAX_CONNECTIONS": "100000"})
    with Crowd(broker.mqtt_port) as stayers, Crowd(broker.mqtt_port) as storm, \
            Raw.dial(broker.mqtt_port, 4) as publisher:
        publisher.connect("publisher")
        stayers.join((f"stays{n}" for n in range(STAY)), then=subscribe("news"))
        stayers.until(stayers.connected, "the connections that stay")
        ids = [f"comes{n}" for n in range(STORM)]
        storm.join(ids, clean=False, then=subscribe("own", 1))
        storm.until(storm.connected, "the first connections of the others")
        storm.leave()
        storm.join(ids, clean=False)
        begun = due = time.monotonic()
        told = 0
        while not storm.connected():    # and those who stay are served meanwhile
            if time.monotonic() >= due:
                publisher.send_publish("news", str(told).encode())
                told, due = told + 1, due + EACH
            storm.serve()
            assert time.monotonic() - begun < WITHIN, "the end of the storm"
        stayers.until(lambda: all(member.messages == told for member in stayers.members), "all messages for all")
        assert all(member.present for member in storm.members)
        assert (stayers.ended(), storm.ended()) == ([], [])
        wait_until(lambda: current_connections(broker) == STAY + STORM + 1, 20, "the end of broken connections")
        assert set(shutdown_count(broker)) <= {"closed", "econnreset", "discard"}


def come_and_go(crowd: Crowd) -> None:
    crowd.until(crowd.connected, "the connections")
    crowd.say(b"\xe0\0")
    crowd.until(lambda: len(crowd.ended()) == len(crowd.members), "the end of the connections")
    crowd.leave()


def test_cycles_of_connect_subscribe_and_disconnect_leave_memory_flat(start_broker):
    broker = start_broker()
    memory = []
    descriptors_before = broker.worker.num_fds()
    for first in range(0, CYCLES, AT_ONCE):
        with Crowd(broker.mqtt_port) as crowd:
            # client ids and topics that were never there before
            for number in range(first, first + AT_ONCE):
                crowd.join([f"cycle{number}"], clean=number % 3 > 0,
                           then=subscribe(f"cycle/{number}", number % 3) + subscribe(f"+/{number}/#"))
            come_and_go(crowd)
            # each third has left a session, which ends when its client comes back for a clean one
            crowd.join(f"cycle{number}" for number in range(first, first + AT_ONCE) if number % 3 == 0)
            come_and_go(crowd)
        memory.append(broker.rss())
    settled = memory[len(memory) // 5]
    assert memory[-1] - settled < MAY_GROW, [round(rss / MIB, 1) for rss in memory]
    assert broker.worker.num_fds() <= descriptors_before + 2
    assert broker.api("GET", "/routes/").json()["items"] == []
    assert broker.api("GET", "/sessions/").json()["items"] == []
