"""The index, and the nodes' own figures (behaviour, 5.1 to 5.3 and 5.20)."""

from __future__ import annotations

import re

import pytest

from tests.api.reference import BROKER, INDEX, LISTED_BROKER, LISTED_NODE, NODE, assert_shape
from tests.broker_process import BrokerProcess

NODE_NAME = "emqx@127.0.0.1"
UPTIME = re.compile(r"((((\d+ days,)?\d+ hours, )?\d+ minutes, )?)\d+ seconds")


@pytest.mark.parametrize("path", ["", "/"])
def test_index_is_the_document_s_verbatim(broker: BrokerProcess, path: str) -> None:
    answer = broker.http.get(f"{broker.base_url}/api/v3{path}", auth=("tester", "tester-secret"), timeout=5)
    assert answer.status_code == 200
    assert answer.json() == INDEX
    assert [list(entry) for entry in answer.json()] == [["name", "method", "path", "descr"]] * 55


def test_answers_are_compact_json_without_charset(broker: BrokerProcess) -> None:
    answer = broker.api("GET", "brokers")
    assert answer.headers["Content-Type"] == "application/json"
    assert b'": ' not in answer.content


def test_brokers(broker: BrokerProcess) -> None:
    [listed] = broker.api("GET", "brokers/").json()
    assert_shape(listed, LISTED_BROKER)
    assert listed["node"] == NODE_NAME
    assert listed["sysdescr"] == "EMQ X Broker"
    assert re.fullmatch(r"R3\.\d+/3\.\d+\.\d+\S*", listed["otp_release"])
    assert UPTIME.fullmatch(listed["uptime"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", listed["datetime"])

    one = broker.api("GET", f"brokers/{NODE_NAME}").json()
    assert_shape(one, BROKER)


def test_nodes_show_memory_as_text_in_the_list_and_in_bytes_alone(broker: BrokerProcess) -> None:
    [listed] = broker.api("GET", "nodes/").json()
    assert_shape(listed, LISTED_NODE)
    assert re.fullmatch(r"\d+\.\d\d[KMG]", listed["memory_used"])
    assert re.fullmatch(r"\d+\.\d\d", listed["load1"])

    one = broker.api("GET", f"nodes/{NODE_NAME}").json()
    assert_shape(one, NODE)
    assert abs(one["memory_used"] - broker.rss()) < 64 << 20


def test_status_needs_no_credentials(broker: BrokerProcess) -> None:
    answer = broker.status()
    assert answer.text == f"Node {NODE_NAME} is started\nemqx is running"
    assert answer.headers["Content-Type"] == "text/plain"
    assert broker.http.post(f"{broker.base_url}/status", timeout=5).status_code == 400


def test_posting_to_the_index_is_a_bad_request(broker: BrokerProcess) -> None:
    answer = broker.api("POST", "")
    assert (answer.status_code, answer.text) == (400, "Bad Request")


@pytest.mark.parametrize(
    "path",
    [
        "brokers/{}",
        "nodes/{}",
        "nodes/{}/connections",
        "nodes/{}/connections/c",
        "nodes/{}/sessions",
        "nodes/{}/sessions/c",
        "nodes/{}/subscriptions",
        "nodes/{}/subscriptions/c",
        "nodes/{}/listeners",
        "nodes/{}/metrics",
        "nodes/{}/stats",
    ],
)
def test_unknown_node_is_not_found(broker: BrokerProcess, path: str) -> None:
    answer = broker.api("GET", path.format("nobody@nowhere"))
    assert (answer.status_code, answer.text) == (404, "Not found.")
    assert broker.api("GET", path.format("emqx%40127.0.0.1")).status_code == 200
