"""The history of the main rates: from the running second, over a restart, pruned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from emqx_mgmt.storage.schema import connect
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"


def rates(broker: BrokerProcess, period: str, query: str = "") -> list[dict[str, Any]]:
    [node] = broker.api("GET", f"rates/{period}{query}").json()
    assert node["node"] == NODE
    rows: list[dict[str, Any]] = node["rates"]
    return rows


def test_history_survives_a_restart_and_the_old_is_pruned(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    client = Client(broker.mqtt_port, "counted")

    def seen() -> float:
        """Rates: of a second that a busy machine makes longer they count less than what came in it."""
        client.paho.publish("counted/x", "1234", qos=1).wait_for_publish(10)
        return float(sum(row["unrouted"] for row in rates(broker, "seconds")))

    wait_until(lambda: seen() > 26, 60)
    seconds = rates(broker, "seconds")
    assert sum(row["received"] for row in seconds) > 25
    assert sum(row["received_bytes"] for row in seconds) > 25 * 15
    assert sum(row["connects"] for row in seconds) > 0
    assert seconds[-1]["connections"] == 1
    assert [row["ts"] for row in seconds] == sorted({row["ts"] for row in seconds})
    assert abs(seconds[-1]["ts"] - time.time()) < 30
    [minute, *_] = rates(broker, "minutes")
    assert (minute["ts"] % 60, minute["received"] > 0) == (0, True)
    assert broker.api("GET", f"nodes/{NODE}/rates/seconds?first={seconds[0]['ts']}&last={seconds[0]['ts']}").json() == [
        seconds[0]]
    client.close()
    assert broker.stop() == 0

    now = int(time.time())
    with connect(broker.data_dir) as database:
        stored = database.execute("SELECT count(*) FROM rate WHERE period = 1").fetchone()[0]
        assert stored >= len(seconds)
        for period, ts in ((1, now - 3700), (60, now - 3700), (60, now - 8 * 24 * 3600), (1, now + 9999)):
            database.execute("INSERT OR REPLACE INTO rate VALUES (?, ?, 7, 7, 7, 7, 7, 7, 7, 7, 7)", (period, ts))
    database.close()
    broker.start()
    assert {row["ts"] for row in seconds} <= {row["ts"] for row in rates(broker, "seconds")}
    wait_until(lambda: rates(broker, "seconds")[-2]["ts"] > now, 10, "a new second")
    assert broker.stop() == 0
    with connect(broker.data_dir) as database:
        odd = database.execute("SELECT period, ts FROM rate WHERE received = 7 AND sent = 7").fetchall()
    database.close()
    assert list(map(tuple, odd)) == [(60, now - 3700)]


@pytest.mark.parametrize("query", ["?first=soon", "?last=-1", f"?last={2**70}"])
def test_times_that_are_none(broker: BrokerProcess, query: str) -> None:
    answer = broker.api("GET", f"rates/seconds{query}")
    assert (answer.status_code, answer.json()["errorCode"]) == (422, 108)


def test_both_styles(broker: BrokerProcess) -> None:
    assert list(broker.api("GET", "rates/minutes?_style=envelope").json()) == ["code", "data"]
    assert broker.api("GET", "nodes/nobody@x/rates/minutes").status_code == 404
