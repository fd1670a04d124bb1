"""`GET /trace`: what becomes of the messages of one topic or one client, as an operator reads it."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import paho.mqtt.client as paho
import pytest
import requests

from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.paho import Client


class Trace:
    """The events of a trace, in order, as (name, data)."""

    def __init__(self, broker: BrokerProcess, auth: tuple[str, str] = APP, **query: Any) -> None:
        self.answer = requests.get(f"{broker.base_url}/api/v3/trace", params=query, auth=auth, stream=True, timeout=30)
        assert self.answer.status_code == 200
        self.events = self._events()
        self.lines = self.answer.iter_lines(chunk_size=1)
        assert next(self.lines) == b":"  # who reads this is listening

    def _events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        name = ""
        for line in self.lines:
            field, _, value = line.decode().partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)

    def next(self) -> tuple[str, dict[str, Any]]:
        return next(self.events)

    def close(self) -> None:
        self.answer.close()


def said(event: tuple[str, dict[str, Any]], *members: str) -> tuple[Any, ...]:
    return (event[0], *(event[1][member] for member in members))


def test_a_topic_from_its_publisher_to_its_subscribers(broker: BrokerProcess) -> None:
    client = Client(broker.mqtt_port, "traced")
    client.subscribe("steps/#", 1)
    with closing(Trace(broker, topic="steps/+")) as trace:
        client.paho.publish("other", "x", qos=1).wait_for_publish(10)
        client.paho.publish("steps/one", "12345", qos=2).wait_for_publish(10)
        event = trace.next()
        assert abs(event[1].pop("ts") - time.time()) < 30
        assert event == ("published", {
            "client_id": None, "publisher": "traced", "topic": "steps/one", "qos": 2, "retain": False,
            "payload_bytes": 5, "reason": "", "node": "emqx@127.0.0.1"})
        assert said(trace.next(), "client_id", "publisher", "qos") == ("delivered", "traced", "traced", 1)
        assert said(trace.next(), "client_id", "topic") == ("acknowledged", "traced", "steps/one")
        client.paho.unsubscribe("steps/#")
        client.paho.publish("steps/one", "", qos=1).wait_for_publish(10)
        assert said(trace.next(), "qos") == ("published", 1)
        assert said(trace.next(), "client_id", "reason") == ("dropped", None, "no_subscribers")
    client.close()


def test_a_client_from_its_connect_to_its_disconnect(broker: BrokerProcess) -> None:
    with closing(Trace(broker, client_id="followed")) as trace:
        other, client = Client(broker.mqtt_port, "unnoticed"), Client(broker.mqtt_port, "followed")
        assert said(trace.next(), "client_id") == ("connected", "followed")
        client.subscribe("to/followed", 0)
        assert said(trace.next(), "topic", "qos") == ("subscribed", "to/followed", 0)
        client.paho.publish("$SYS/forbidden", "x")
        client.paho.subscribe("#")  # the shipped rules deny it to clients of other machines only
        other.paho.publish("to/followed", "x", qos=1).wait_for_publish(10)
        names = [trace.next()[0] for _ in range(3)]
        assert "delivered" in names
        client.close()
        while (event := trace.next())[0] != "disconnected":
            assert "followed" in (event[1].get("client_id"), event[1].get("publisher"))
        assert said(event, "reason") == ("disconnected", "normal")
        other.close()


def test_time_and_bytes_end_it_and_say_so(broker: BrokerProcess) -> None:
    with closing(Trace(broker, topic="a", seconds=1)) as trace:
        assert said(trace.next(), "reason") == ("end", "time")
        assert list(trace.events) == []
    client = Client(broker.mqtt_port, "wordy")
    with closing(Trace(broker, topic="a", max_bytes=1024)) as trace:
        for _ in range(20):
            client.paho.publish("a", "x", qos=1).wait_for_publish(10)
        events = list(trace.events)
        assert said(events[-1], "reason") == ("end", "bytes")
        assert 1 < len(events) < 8
    client.close()


def test_a_flood_is_skipped_in_part_and_others_do_not_notice(broker: BrokerProcess) -> None:
    """The trace says how much it skipped; a message of another topic comes in time."""
    flood = paho.Client(paho.CallbackAPIVersion.VERSION2, "flood")
    flood.connect("127.0.0.1", broker.mqtt_port)
    flood.loop_start()
    bystander = Client(broker.mqtt_port, "bystander")
    bystander.subscribe("calm", 1)
    over = threading.Event()

    def pour() -> None:
        while not over.is_set():
            flood.publish("flood/x", b"x" * 20).wait_for_publish(10)

    pouring = [threading.Thread(target=pour) for _ in range(2)]
    with closing(Trace(broker, topic="flood/#", max_bytes=1 << 20)) as trace:
        broker.api("POST", "mqtt/publish_batch", json=[
            {"topic": "flood/x", "payload": "x", "client_id": "http"} for _ in range(2000)])
        for one in pouring:
            one.start()
        bystander.paho.publish("calm", "x", qos=1).wait_for_publish(20)
        wait_until(lambda: bystander.received, 20, "the message of another topic")
        skipped = next(event for event in trace.events if event[0] == "skipped")
        assert skipped[1]["messages"] > 0
    over.set()
    for one in pouring:
        one.join()
    flood.disconnect()
    flood.loop_stop()
    bystander.close()


def test_traces_are_few_and_one_caller_cannot_take_all(broker: BrokerProcess) -> None:
    """Those of earlier tests end within a second or two of their clients."""
    members = {"name": "viewer", "role": "viewer"}
    callers = [(app_id, broker.api("POST", "apps", json={"app_id": app_id, **members}).json()["secret"])
               for app_id in ("first", "second")]
    traces: list[Trace] = []
    try:
        for caller in callers:
            for _ in range(4):
                traces.append(wait_until(lambda who=caller: granted(broker, who), 10, "an earlier trace ending"))
            if len(traces) == 4:
                refused = broker.api("GET", "trace?topic=few", auth=caller)
                assert (refused.status_code, refused.json()) == (500, {
                    "message": "one application, user or log-in may have no more than 4 of these streams at a time"})
        refused = broker.api("GET", "trace?topic=few")
        assert (refused.status_code, refused.json()) == (500, {"message": "too_many_listeners"})
    finally:
        for trace in traces:
            trace.close()


def granted(broker: BrokerProcess, auth: tuple[str, str], topic: str = "few", payload_bytes: int = 0) -> Trace | None:
    try:
        return Trace(broker, auth, topic=topic, payload_bytes=payload_bytes)
    except AssertionError:
        return None


@pytest.mark.parametrize(("query", "message"), [
    ("", "bad parameter client_id or topic: exactly one of them must be given"),
    ("topic=a&client_id=b", "bad parameter client_id or topic: exactly one of them must be given"),
    ("topic=a/%23/b", "bad parameter topic: must be a valid topic or topic filter"),
    ("topic=a&seconds=0", "bad parameter seconds: expected `int` >= 1"),
    ("topic=a&max_bytes=1", "bad parameter max_bytes: expected `int` >= 1024"),
])
def test_mistakes_are_named(broker: BrokerProcess, query: str, message: str) -> None:
    answer = broker.api("GET", f"trace?{query}")
    assert (answer.status_code, answer.json()["message"]) == (422, message)


def test_payloads_are_shown_to_operators(broker: BrokerProcess) -> None:
    """The beginning of each, as bytes; beside a trace that asked for none."""
    viewer, caller = [
        (app_id, broker.api("POST", "apps", json={"app_id": app_id, "name": app_id, "role": role}).json()["secret"])
        for app_id, role in (("peeper", "viewer"), ("reader", "operator"))]
    refused = broker.api("GET", "trace?topic=p/1&payload_bytes=1", auth=viewer)
    assert (refused.status_code, refused.json()) == (403, {"message": "needs the role operator"})
    assert broker.api("GET", "trace?topic=p/1&payload_bytes=65537").status_code == 422
    client = Client(broker.mqtt_port, "payloads")
    with closing(wait_until(lambda: granted(broker, caller, "p/#", 4), 10, "an earlier trace ending")) as some, \
            closing(Trace(broker, caller, topic="p/#")) as none:
        client.paho.publish("p/1", b"\xff\x00abc").wait_for_publish(10)
        assert some.next()[1]["payload"] == base64.b64encode(b"\xff\x00ab").decode()
        event = none.next()[1]
        assert (event["payload_bytes"], "payload" in event) == (5, False)
    with closing(Trace(broker, caller, topic="p/#", payload_bytes=65536, max_bytes=1 << 24)) as bounded:
        for _ in range(20):
            client.paho.publish("p/2", bytes(600), qos=1)
        events = [bounded.next() for _ in range(20)]
        shown = [event for _, event in events if "payload" in event]
        assert {len(base64.b64decode(event["payload"])) for event in shown} == {600}
        assert {event["payload_bytes"] for _, event in events} == {600}
    client.close()
