"""Metrics of chosen topics over REST and for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import requests

from emqx_mgmt.storage.schema import connect
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client


def row(broker: BrokerProcess, topic: str) -> dict[str, Any]:
    return broker.api("GET", f"topic_metrics/{topic}").json()[0]  # type: ignore[no-any-return]


def choose(broker: BrokerProcess, topic: str) -> None:
    assert broker.api("POST", "topic_metrics/", json={"topic": topic}).json() == "ok"


def test_what_is_published_and_sent_is_counted(broker: BrokerProcess) -> None:
    choose(broker, "metered/#")
    client = Client(broker.mqtt_port, "metered")
    try:
        client.subscribe("metered/+", 1)
        for number in range(20):
            client.paho.publish("metered/a", f"{number:03}", qos=1).wait_for_publish(10)
        client.paho.publish("metered/nobody/listens", "x", qos=1).wait_for_publish(10)
        wait_until(lambda: row(broker, "metered%2F%23")["acknowledged"] == 20, 10, "the acknowledgements")
        shown = row(broker, "metered%2F%23")
        assert (shown["received"], shown["received_qos1"], shown["sent"], shown["sent_qos1"]) == (21, 21, 20, 20)
        assert (shown["received_bytes"], shown["sent_bytes"], shown["dropped"], shown["queued"]) == (61, 60, 1, 0)
        wait_until(lambda: row(broker, "metered%2F%23")["received_rate"] > 1, 10, "the rate")
        text = requests.get(f"{broker.base_url}/metrics", timeout=10).text
        assert 'emqx_topic_received_messages_total{topic="metered/#"} 21' in text
        assert 'emqx_topic_sent_messages_total{topic="metered/#"} 20' in text
        assert 'emqx_topic_dropped_messages_total{topic="metered/#"} 1' in text
        assert broker.api("PUT", "topic_metrics/metered%2F%23/reset").json() == "ok"
        assert row(broker, "metered%2F%23")["received"] == 0
    finally:
        client.close()
        broker.api("DELETE", "topic_metrics/metered%2F%23")


def test_listed_in_order_searched_and_removed(broker: BrokerProcess) -> None:
    for topic in ("listed/b", "listed/+", "listed/a"):
        choose(broker, topic)
    listed = broker.api("GET", "topic_metrics/?_like_topic=listed&_gte_received_rate=0.0").json()
    assert [one["topic"] for one in listed["items"]] == ["listed/b", "listed/+", "listed/a"]
    assert broker.api("GET", "topic_metrics/?_match_topic=listed/a").json()["meta"]["count"] == 2
    for topic in ("listed%2Fb", "listed%2F%2B", "listed%2Fa"):
        assert broker.api("DELETE", f"topic_metrics/{topic}").json() == "ok"
        assert broker.api("GET", f"topic_metrics/{topic}").json() == []


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), [
    ("POST", "topic_metrics/", {}, 422, "missing required parameter topic"),
    ("POST", "topic_metrics/", {"topic": "a/#/b"}, 422, "bad parameter topic: must be a valid topic or topic filter"),
    ("PUT", "topic_metrics/none/reset", {}, 500, "not_found"),
    ("DELETE", "topic_metrics/none", None, 500, "not_found"),
])
def test_mistakes_are_named(broker: BrokerProcess, method: str, path: str, body: Any, status: int,
                            message: str) -> None:
    answer = broker.api(method, path, json=body)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_chosen_topics_survive_a_restart(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    choose(broker, "kept/#")
    choose(broker, "removed")
    broker.api("DELETE", "topic_metrics/removed")
    broker.kill9()
    broker.start()
    items = broker.api("GET", "topic_metrics/").json()["items"]
    assert [(one["topic"], one["received"]) for one in items] == [("kept/#", 0)]


def test_one_topic_twice_or_too_many_are_refused(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    broker.kill9()
    with closing(connect(broker.data_dir)) as records:
        records.executemany("INSERT INTO metered_topic VALUES (?)", [(f"many/{number}",) for number in range(511)])
    broker.start()
    choose(broker, "twice")
    assert broker.api("POST", "topic_metrics/", json={"topic": "twice"}).json() == {"message": "already_existed"}
    refused = broker.api("POST", "topic_metrics/", json={"topic": "too/many"})
    assert refused.json() == {"message": "no more than 512 topics can have metrics"}
    broker.api("DELETE", "topic_metrics/twice")
    choose(broker, "one/fits")
