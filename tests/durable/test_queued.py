"""GET /sessions/:clientid/messages/: what is queued, looked at without taking it into memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PUBACK, PUBLISH, connected

Start = Callable[..., BrokerProcess]


def publish(port: int, first: int, last: int) -> None:
    publisher = connected(port, "publisher", version=5, clean=True)
    for number in range(first, last):
        publisher.send_publish(f"q/{number}", bytes(number), 1, number, retain=number % 2 == 0)
        assert publisher.expect(PUBACK).code == 0
    publisher.disconnect()


def listed(broker: BrokerProcess, query: str = "") -> tuple[list[str], dict[str, int]]:
    body = broker.api("GET", f"sessions/keeper/messages/?{query}").json()
    return [row["topic"] for row in body["items"]], body["meta"]


@pytest.mark.parametrize("durability", ["fsync", "off"])
def test_pages(start_broker: Start, durability: str):
    """The latest message too, whether rows of it are written already or not; the same from memory."""
    broker = start_broker({"EMQX_DURABILITY": durability})
    connected(broker.mqtt_port, "keeper").subscribe("q/#", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publish(broker.mqtt_port, 1, 31)
    topics = [f"q/{number}" for number in range(1, 31)]
    assert listed(broker) == (topics, {"page": 1, "limit": 10000, "count": 30})
    assert listed(broker, "_page=2&_limit=7")[0] == topics[7:14]
    assert listed(broker, "_page=5&_limit=7") == (topics[28:], {"page": 5, "limit": 7, "count": 30})
    assert listed(broker, "_page=6&_limit=7")[0] == []
    assert listed(broker, "topic=q/9") == (["q/9"], {"page": 1, "limit": 10000, "count": 1})
    row = broker.api("GET", "sessions/keeper/messages/").json()["items"][3]
    assert row.pop("published_at")
    assert row.pop("published_at_ts")
    assert row == {"topic": "q/4", "qos": 1, "retain": False, "payload_size": 4, "expires_in": "undefined"}
    assert listed(broker)[1]["count"] == 30, "looking takes nothing"
    (name,) = [node["name"] for node in broker.api("GET", "nodes/").json()]
    assert broker.api("GET", f"nodes/{name}/sessions/keeper/messages/").json()["meta"]["count"] == 30
    assert broker.api("GET", "sessions/nobody/messages/").json()["items"] == []


def test_of_a_connected_client(start_broker: Start):
    """What is in flight is not queued any more."""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "5"})
    keeper = connected(broker.mqtt_port, "keeper")
    keeper.subscribe("q/#", qos=1)
    publish(broker.mqtt_port, 1, 21)
    assert listed(broker)[0] == [f"q/{number}" for number in range(6, 21)]
    keeper.ack(PUBACK, keeper.expect(PUBLISH).pid)
    for _ in range(4):
        keeper.expect(PUBLISH)
    assert keeper.expect(PUBLISH).topic == "q/6"
    assert listed(broker)[0] == [f"q/{number}" for number in range(7, 21)]


@pytest.mark.parametrize(
    "env", [{}, {"EMQX_DURABILITY": "off"}, {"EMQX_ZONE__EXTERNAL__MQUEUE_PRIORITIES": "q/1=8"}],
    ids=["stored", "off", "priorities"])
def test_a_queue_is_emptied(start_broker: Start, env: dict[str, str]):
    """What is in flight stays, what comes later is queued; nothing of it is back after a crash."""
    broker = start_broker(env)
    keeper = connected(broker.mqtt_port, "keeper")
    keeper.subscribe("q/#", qos=1)
    refused = broker.api("DELETE", "sessions/keeper/messages/")
    assert (refused.status_code, refused.json()) == (500, {"message": "running_session"})
    publish(broker.mqtt_port, 1, 3)
    keeper.expect(PUBLISH)
    keeper.expect(PUBLISH)
    keeper.drop()
    wait_until(lambda: broker.api("GET", "connections/?client_id=keeper").json()["items"] == [])
    publish(broker.mqtt_port, 10, 40)
    assert broker.api("DELETE", "sessions/keeper/messages/").json() == {"deleted": 30}
    assert listed(broker)[0] == []
    assert broker.api("DELETE", "sessions/keeper/messages/").json() == {"deleted": 0}
    publish(broker.mqtt_port, 50, 52)
    assert listed(broker)[0] == ["q/50", "q/51"]
    if env.get("EMQX_DURABILITY") != "off":
        broker.kill9()
        broker.start()
        assert listed(broker)[0] == ["q/50", "q/51"]
    keeper = connected(broker.mqtt_port, "keeper")
    assert [keeper.expect(PUBLISH).topic for _ in range(4)] == ["q/1", "q/2", "q/50", "q/51"]
    missing = broker.api("DELETE", "sessions/nobody/messages/")
    assert (missing.status_code, missing.json()["message"]) == (500, "not_found")
