"""GET /topic_tree/: the topics of retained messages and subscriptions, a level at a time."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import ANY

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

RETAINED = ["plant/1/state", "plant/2/state", "plant/2", "plant/10/a/b/c", "/begins/empty", "é/ü", "a b/%/x"]
VALUES = {"bytes": b"\xff\xfe", "control": b"a\x00", "cut": "ü".encode() * 500, "empty-not": b" ", "number": b"34.38"}
FILTERS = ["plant/+/cmd", "plant/#", "plant/2/state", "$share/g/plant/2/state", "other/deep/path"]


@pytest.fixture(scope="module")
def tree(broker: BrokerProcess) -> Iterator[BrokerProcess]:
    with ExitStack() as stack:
        client = Client(broker.mqtt_port, "treeman")
        stack.callback(client.close)
        for one in FILTERS:
            client.subscribe(one, 0)
        for topic in RETAINED:
            broker.api("POST", "mqtt/publish", json={"topic": topic, "payload": "x", "retain": True})
        broker.api("POST", "mqtt/publish_batch", json=[
            {"topic": f"values/{name}", "payload": base64.b64encode(payload).decode(), "payload_encoding": "base64",
             "retain": True} for name, payload in VALUES.items()])
        many = [{"topic": f"many/{number}/x", "payload": "x", "retain": True} for number in range(1001)]
        broker.api("POST", "mqtt/publish_batch", json=many)
        yield broker


def rows(broker: BrokerProcess, **query: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    answer = broker.api("GET", "topic_tree", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"], answer.json()["meta"]


def levels(broker: BrokerProcess, **query: Any) -> list[str]:
    return [row["level"] for row in rows(broker, **query)[0]]


def test_levels(tree: BrokerProcess) -> None:
    first, meta = rows(tree)
    assert [row["level"] for row in first if row["level"] != "$SYS"] == [
        "", "a b", "many", "other", "plant", "values", "é"]
    assert meta == {"page": 1, "limit": 200, "hasnext": False}
    plant = next(row for row in first if row["level"] == "plant")
    assert plant == {"level": "plant", "topic": "plant", "has_message": False, "subscriptions": 0, "children": 5}
    assert next(row for row in first if row["level"] == "many")["children"] == "1000+"
    below, _ = rows(tree, under="plant")
    assert below == [
        {"level": "#", "topic": "plant/#", "has_message": False, "subscriptions": 1, "children": 0},
        {"level": "+", "topic": "plant/+", "has_message": False, "subscriptions": 0, "children": 1},
        {"level": "1", "topic": "plant/1", "has_message": False, "subscriptions": 0, "children": 1},
        {"level": "10", "topic": "plant/10", "has_message": False, "subscriptions": 0, "children": 1},
        {"level": "2", "topic": "plant/2", "has_message": True, "subscriptions": 0, "children": 1,
         "payload_size": 1, "published_at_ts": ANY, "beginning": "x"},
    ]
    [state], _ = rows(tree, under="plant/2")
    assert state == {"level": "state", "topic": "plant/2/state", "has_message": True, "subscriptions": 2, "children": 0,
                     "payload_size": 1, "published_at_ts": ANY, "beginning": "x"}


@pytest.mark.parametrize(("under", "expected"), [
    ("", ["begins"]), ("/begins", ["empty"]), ("plant/10", ["a"]), ("plant/10/a", ["b"]), ("plant/10/a/b", ["c"]),
    ("plant/10/a/b/c", []), ("plant/10/a/bb", []), ("é", ["ü"]), ("a b/%", ["x"]), ("nothing", []), ("other", ["deep"]),
    ("other/deep/path", []), ("plant/1/state/more", []),
])
def test_below(tree: BrokerProcess, under: str, expected: list[str]) -> None:
    assert levels(tree, under=under) == expected


def test_of_which_topics(tree: BrokerProcess) -> None:
    assert levels(tree, under="plant", of="retained") == ["1", "10", "2"]
    assert levels(tree, under="plant", of="routes") == ["#", "+", "2"]
    [row], _ = rows(tree, under="plant/2", of="routes")
    assert (row["has_message"], row["subscriptions"]) == (False, 2)


def test_a_long_level_comes_in_pieces(tree: BrokerProcess) -> None:
    found: list[str] = []
    meta: dict[str, Any] = {"hasnext": True}
    while meta["hasnext"]:
        items, meta = rows(tree, under="many", _limit=400, **({"after": found[-1]} if found else {}))
        found += [row["level"] for row in items]
    assert found == sorted(str(number) for number in range(1001))


@pytest.mark.parametrize("query", ["of=x", "of=", "_limit=0", "_limit=1001", "_limit=x"])
def test_bad_parameters(tree: BrokerProcess, query: str) -> None:
    assert tree.api("GET", f"topic_tree?{query}").status_code == 422


def test_the_form_of_a_node_and_the_envelope(tree: BrokerProcess) -> None:
    answer = tree.api("GET", "nodes/emqx@127.0.0.1/topic_tree?under=plant&_style=envelope").json()
    assert answer["code"] == 0
    assert [row["level"] for row in answer["data"]] == ["#", "+", "1", "10", "2"]
    assert tree.api("GET", "nodes/other@127.0.0.1/topic_tree").status_code == 404


def test_messages_are_shown_by_their_beginning(tree: BrokerProcess) -> None:
    """Text only, and no more than 80 characters of it, whole ones."""
    found = rows(tree, under="values")[0]
    assert {row["level"]: (row["payload_size"], row.get("beginning")) for row in found} == {
        "bytes": (2, None), "control": (2, None), "cut": (1000, "ü" * 80), "empty-not": (1, " "),
        "number": (5, "34.38")}
    assert all(abs(row["published_at_ts"] - time.time()) < 600 for row in found)
