"""Alarms (behaviour, 5.16 and section 9)."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"
ROW = ["id", "severity", "summary", "timestamp", "title"]
# Far above what the machine can reach, but for the one that each test is about.
QUIET = {
    f"EMQX_MONITOR__{name}_{mark}_WATERMARK": "100%"
    for name in ("CPU", "SYSMEM", "PROCMEM", "CONNECTIONS", "DISK")
    for mark in ("HIGH", "LOW")
} | {
    "EMQX_MONITOR__HUB_LAG_HIGH_WATERMARK": "100000",
    "EMQX_MONITOR__CHECK_INTERVAL": "100ms",
}


def alarms(broker: BrokerProcess) -> list[dict[str, Any]]:
    return list(broker.api("GET", f"alarms/{NODE}").json())


def test_a_quiet_node_has_none(start_broker: Any) -> None:
    broker = start_broker(env=QUIET)
    assert broker.api("GET", "alarms/").json() == [{"alarms": [], "node": NODE}]
    assert alarms(broker) == []
    assert broker.api("GET", "alarms/nobody@nowhere").status_code == 404


def test_memory_above_its_mark(start_broker: Any) -> None:
    """Present as long as it is above; listed and not yet history."""
    env = QUIET | {"EMQX_MONITOR__SYSMEM_HIGH_WATERMARK": "0%", "EMQX_LOG__LEVEL__MONITOR": "debug"}
    broker = start_broker(env=env)
    wait_until(lambda: alarms(broker))
    [row] = alarms(broker)
    assert list(row) == ROW
    assert (row["id"], row["severity"]) == ("system_memory_high_watermark", "warning")
    assert "above 0%" in row["summary"]
    raised = time.mktime(time.strptime(row["timestamp"], "%Y-%m-%d %H:%M:%S"))
    assert abs(raised - time.time()) < 30
    assert broker.api("GET", "alarms").json()[0]["alarms"] == [row]
    present = row | {"desc": row["summary"]}  # v3.2
    assert broker.api("GET", f"alarms/present/{NODE}").json() == [present]
    assert broker.api("GET", "alarms/present").json() == [{"alarms": [present], "node": NODE}]
    assert broker.api("GET", f"alarms/history/{NODE}").json() == []
    looks = broker.stderr.count("system memory usage is")
    wait_until(lambda: broker.stderr.count("system memory usage is") > looks + 2, what="three more looks at it")
    assert alarms(broker) == [row]


def test_connections_near_their_limit(start_broker: Any) -> None:
    """Raised, told on $SYS, cleared when they are gone, and kept over a kill -9."""
    env = QUIET | {
        "EMQX_MONITOR__CONNECTIONS_HIGH_WATERMARK": "50%",
        "EMQX_MONITOR__CONNECTIONS_LOW_WATERMARK": "40%",
        "EMQX_LISTENER__TCP__INTERNAL": "off",
        "EMQX_LISTENER__TCP__EXTERNAL__MAX_CONNECTIONS": "5",
    }
    broker = start_broker(env=env)
    watcher = Client(broker.mqtt_port, "watcher")
    watcher.subscribe(f"$SYS/brokers/{NODE}/alarms/#")
    others = [Client(broker.mqtt_port, f"c{number}") for number in range(2)]
    wait_until(lambda: alarms(broker), what="the alarm")
    [row] = alarms(broker)
    assert (row["id"], row["severity"]) == ("too_many_connections", "error")
    for client in others:
        client.close()
    wait_until(lambda: not alarms(broker), what="the end of the alarm")

    wait_until(lambda: len(watcher.received) == 2, what="both messages")
    (alert_topic, alert, *_), (clear_topic, clear, *_) = watcher.received
    assert alert_topic == f"$SYS/brokers/{NODE}/alarms/too_many_connections/alert"
    assert clear_topic == f"$SYS/brokers/{NODE}/alarms/too_many_connections/clear"
    assert list(json.loads(alert)) == ["id", "severity", "title", "summary", "ts"]
    assert list(json.loads(clear)) == ["id", "ts"]
    watcher.close()

    [cleared] = wait_until(lambda: broker.api("GET", f"alarms/history/{NODE}").json())
    assert list(cleared) == [*ROW, "desc", "clear_at"]
    assert {key: cleared[key] for key in ROW} == row
    broker.kill9()
    broker.start()
    assert broker.api("GET", "alarms/history").json() == [{"alarms": [cleared], "node": NODE}]
