"""Delayed messages over REST: an addition to the v3 API."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator

import pytest

from tests.broker_process import BrokerProcess

BINARY = bytes(range(256))
MESSAGES = {
    "d/1": {"payload": "one", "qos": 1, "client_id": "c1"},
    "d/2/deep": {"payload": base64.b64encode(BINARY).decode(), "payload_encoding": "base64", "retain": True},
    "other": {"payload": "x" * 100, "properties": {"message_expiry_interval": 5000, "user_properties": {"k": "v"}}},
}


def rows(broker: BrokerProcess, query: str = "") -> dict[str, dict[str, object]]:
    return {row["topic"]: row for row in broker.api("GET", f"delayed?{query}").json()["items"]}


@pytest.fixture(autouse=True)
def delayed(broker: BrokerProcess) -> Iterator[None]:
    for number, (topic, members) in enumerate(MESSAGES.items()):
        given = {"topic": f"$delayed/{1000 * (number + 1)}/{topic}"} | members
        assert broker.api("POST", "mqtt/publish", json=given).json() == {"code": 0}
    yield
    for row in rows(broker).values():
        broker.api("DELETE", f"delayed/{row['id']}")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"d/1", "d/2/deep", "other"}),
        ("_match_topic=d/%23", {"d/1", "d/2/deep"}),
        ("topic=other", {"other"}),
        ("client_id=c1", {"d/1"}),
        ("_lte_delayed_remaining=2000", {"d/1", "d/2/deep"}),
        ("_gte_payload_size=100", {"d/2/deep", "other"}),
    ],
)
def test_listed_and_filtered(broker: BrokerProcess, query: str, expected: set[str]) -> None:
    assert set(rows(broker, query)) == expected


def test_rows_and_pages(broker: BrokerProcess) -> None:
    row = rows(broker)["d/1"]
    assert 990 < row.pop("delayed_remaining") <= 1000
    assert 950 < row.pop("publish_at_ts") - time.time() < 1050
    assert row.pop("publish_at") > time.strftime("%Y-%m-%d %H:%M:%S")
    assert len(str(row.pop("id"))) == 32
    assert row == {"topic": "d/1", "qos": 1, "retain": False, "client_id": "c1", "payload_size": 3,
                   "expires_in": "undefined"}
    paged = [broker.api("GET", f"delayed?_limit=1&_page={page}").json() for page in range(1, 5)]
    assert [len(page["items"]) for page in paged] == [1, 1, 1, 0]
    assert [page["meta"]["count"] for page in paged] == [3] * 4


def test_read(broker: BrokerProcess) -> None:
    listed = rows(broker)
    [one] = broker.api("GET", f"delayed/{listed['d/1']['id']}").json()
    assert (one["topic"], one["payload"], one["payload_encoding"]) == ("d/1", "one", "plain")
    [two] = broker.api("GET", f"delayed/{listed['d/2/deep']['id']}").json()
    assert (base64.b64decode(two["payload"]), two["payload_encoding"], two["retain"]) == (BINARY, "base64", True)
    enveloped = broker.api("GET", f"delayed/{listed['other']['id']}?_style=envelope").json()
    assert enveloped["code"] == 0
    assert enveloped["data"][0]["properties"]["user_property"] == [["k", "v"]]
    assert 4900 < enveloped["data"][0]["expires_in"] <= 5000
    for nothing in ("00" * 16, "00", "nothing"):
        assert broker.api("GET", f"delayed/{nothing}").json() == []


def test_deleted(broker: BrokerProcess) -> None:
    path = f"delayed/{rows(broker)['other']['id']}"
    assert broker.api("DELETE", path).json() == "ok"
    refused = broker.api("DELETE", path)
    assert (refused.status_code, refused.json()) == (500, {"message": "not_found"})
    assert set(rows(broker)) == {"d/1", "d/2/deep"}
    assert broker.api("DELETE", "delayed").status_code == 404


def test_what_was_deleted_is_not_published_and_does_not_come_back(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker()
    for topic in ("gone", "kept"):
        broker.api("POST", "mqtt/publish", json={"topic": f"$delayed/900/{topic}", "payload": "x"})
    assert broker.api("DELETE", f"delayed/{rows(broker)['gone']['id']}").json() == "ok"
    broker.kill9()
    broker.start()
    assert set(rows(broker)) == {"kept"}
    assert broker.api("DELETE", f"delayed/{rows(broker)['kept']['id']}").json() == "ok"


def test_roles(broker: BrokerProcess) -> None:
    """As for retained messages: viewers read, operators delete."""
    row_id = rows(broker)["other"]["id"]
    for role, status in (("viewer", 403), ("operator", 200)):
        app = broker.api("POST", "apps", json={"app_id": f"delayed-{role}", "name": role, "role": role}).json()
        auth = (f"delayed-{role}", app["secret"])
        assert len(broker.api("GET", "delayed", auth=auth).json()["items"]) == 3
        assert broker.api("DELETE", f"delayed/{row_id}", auth=auth).status_code == status
