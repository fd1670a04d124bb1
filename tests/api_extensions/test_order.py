"""The order of lists, searches that end early, and look-ups by client id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from emqx_mgmt.manage.listing import Paging, Sort, filtered
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

KEEPALIVES = {"o3": 40, "o1": 50, "o4": 40, "o2": 60}


class Row(Struct):
    value: int | str
    place: int


@given(st.lists(st.integers(0, 9) | st.sampled_from(["undefined", "x"])), st.integers(-1, 4), st.integers(1, 7),
       st.booleans(), st.booleans())
def test_a_page_is_a_slice_of_all_rows_in_order(
    values: list[int | str], number: int, limit: int, descending: bool, counted: bool
) -> None:
    """Numbers before texts; what is equal stays as it was."""
    rows = [Row(value, place) for place, value in enumerate(values)]
    paging = Paging(number, limit, sort=Sort("value", descending), counted=counted)
    page = filtered(rows, paging)
    expected = sorted(rows, key=lambda row: (isinstance(row.value, str), str(row.value)), reverse=descending)
    assert page.items == expected[paging.first : paging.first + limit]
    assert page.has_next == (paging.first + limit < len(rows))


@given(st.lists(st.integers(0, 3)), st.integers(1, 4), st.integers(1, 7))
def test_a_search_that_ends_early_looks_no_further(values: list[int], number: int, limit: int) -> None:
    seen: list[Row] = []

    def rows() -> Iterator[Row]:
        for place, value in enumerate(values):
            seen.append(Row(value, place))
            yield seen[-1]

    paging = Paging(number, limit, (lambda row: row.value > 0,), counted=False)
    page = filtered(rows(), paging)
    passing = [Row(value, place) for place, value in enumerate(values) if value > 0]
    assert page.items == passing[paging.first : paging.first + limit]
    assert page.has_next == (paging.first + limit < len(passing))
    if page.has_next:
        assert len(seen) == passing[paging.first + limit].place + 1


@pytest.fixture(scope="module")
def clients(broker: BrokerProcess) -> Iterator[None]:
    """Four that are connected, and `away`, which is not."""
    with ExitStack() as stack:
        for client_id, keepalive in KEEPALIVES.items():
            client = Client(broker.mqtt_port, client_id, keepalive=keepalive)
            stack.callback(client.close)
            client.subscribe(f"t/{client_id}", 1)
        away = Client(broker.mqtt_port, "away", clean=False)
        away.subscribe("t/#", 1)
        away.close()
        wait_until(lambda: broker.api("GET", "connections/away").json() == [], what="the end of the connection")
        yield


def page(broker: BrokerProcess, query: str, key: str = "client_id") -> tuple[list[Any], dict[str, Any]]:
    answer = broker.api("GET", query)
    assert answer.status_code == 200, answer.text
    return [row[key] for row in answer.json()["items"]], answer.json()["meta"]


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize(("query", "expected"), [
    ("connections?_sort=client_id", ["o1", "o2", "o3", "o4"]),
    ("connections?_sort=-clientid", ["o4", "o3", "o2", "o1"]),
    ("connections?_sort=keepalive", ["o3", "o4", "o1", "o2"]),
    ("connections?_sort=-keepalive&_limit=2", ["o2", "o1"]),
    ("connections?_sort=-keepalive&_limit=2&_page=2", ["o3", "o4"]),
    ("connections?_sort=keepalive&_gte_keepalive=50", ["o1", "o2"]),
    ("connections?_sort=-recv_pkt&_fields=extended&client_id=o1", ["o1"]),
    ("nodes/emqx@127.0.0.1/connections?_sort=client_id&_limit=1", ["o1"]),
    ("sessions?_sort=-client_id", ["o4", "o3", "o2", "o1", "away"]),
    ("sessions?_sort=connected&_fields=extended&_limit=1", ["away"]),
    ("sessions?connected=false&_fields=extended", ["away"]),
    ("sessions?connected=true&_fields=extended&_sort=client_id", ["o1", "o2", "o3", "o4"]),
    ("subscriptions?_sort=-topic&_limit=2", ["o4", "o3"]),
    ("subscriptions?client_id=o2", ["o2"]),
])
def test_order(broker: BrokerProcess, query: str, expected: list[str]) -> None:
    found, meta = page(broker, query)
    assert found == expected
    assert meta["count"] >= len(found)


@pytest.mark.usefixtures("clients")
def test_routes_and_other_lists_have_an_order(broker: BrokerProcess) -> None:
    assert page(broker, "routes?_sort=-topic&_limit=2", "topic")[0] == ["t/o4", "t/o3"]
    for who in ("b", "c", "a"):
        broker.api("POST", "banned", json={"as": "client_id", "who": who})
    assert page(broker, "banned?_sort=who", "who")[0] == ["a", "b", "c"]
    assert page(broker, "banned?_sort=as&_limit=1", "who")[0] == ["b"]
    statuses, _ = page(broker, "audit?_sort=status", "status")
    assert statuses == sorted(statuses)


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_a_list_that_is_not_counted(broker: BrokerProcess, style: str) -> None:
    def meta(query: str) -> dict[str, Any]:
        found: dict[str, Any] = broker.api("GET", f"{query}&_count=no&_style={style}").json()["meta"]
        return found

    assert meta("connections?_limit=3") == {"page": 1, "limit": 3, "hasnext": True}
    assert meta("connections?_limit=3&_page=2") == {"page": 2, "limit": 3, "hasnext": False}
    assert meta("connections?_limit=4") == {"page": 1, "limit": 4, "hasnext": False}
    assert meta("connections?_like_client_id=o&_limit=2") == {"page": 1, "limit": 2, "hasnext": True}
    assert meta("connections?keepalive=40&_limit=2") == {"page": 1, "limit": 2, "hasnext": False}
    assert meta("subscriptions?_limit=2")["hasnext"] is True
    assert meta("routes?_limit=2&_match_topic=t/%23")["hasnext"] is True
    assert "count" in broker.api("GET", f"connections?_count=yes&_style={style}").json()["meta"]


@pytest.mark.parametrize(("query", "reason"), [
    ("connections?_sort=nothing", "bad parameter _sort: must be one of clean_start, client_id, "),
    ("connections?_sort=", "bad parameter _sort"),
    ("connections?_sort=--client_id", "bad parameter _sort"),
    ("connections?_sort=recv_pkt", "bad parameter _sort"),  # of extended rows
    ("connections?_count=maybe", "bad parameter _count: must be one of yes, no"),
])
def test_what_is_no_field_is_refused(broker: BrokerProcess, query: str, reason: str) -> None:
    answer = broker.api("GET", query)
    assert (answer.status_code, answer.json()["message"][:len(reason)]) == (422, reason)


@pytest.mark.usefixtures("clients")
def test_subscriptions_with_their_options(broker: BrokerProcess) -> None:
    broker.api("POST", "mqtt/subscribe", json={"client_id": "o1", "topic": "$share/g/shared", "qos": 2})
    shared = {"client_id": "o1", "node": "emqx@127.0.0.1", "qos": 2, "topic": "shared"}
    options = {"group": "g", "no_local": False, "retain_as_published": False, "retain_handling": 0,
               "subscription_id": 0}
    for query in ("subscriptions/o1?", "nodes/emqx@127.0.0.1/subscriptions?client_id=o1&"):
        plain, extended = (broker.api("GET", query + fields).json() for fields in ("", "_fields=extended"))
        plain, extended = (one if isinstance(one, list) else one["items"] for one in (plain, extended))
        assert plain[-1] == shared
        assert extended[-1] == shared | options
        assert extended[0]["group"] == "undefined"
    assert page(broker, "subscriptions?group=g&_fields=extended", "topic")[0] == ["shared"]
    broker.api("POST", "mqtt/unsubscribe", json={"client_id": "o1", "topic": "$share/g/shared"})


@pytest.mark.usefixtures("clients")
def test_times_have_a_number_beside_the_text(broker: BrokerProcess) -> None:
    """The texts are in the zone of the node, which they do not name."""
    for query, names in (("connections/o1", ["connected_at_ts"]), ("sessions/away", ["created_at_ts"]),
                         ("nodes", ["datetime_ts", "uptime_s", "max_connections", "hub_lag_ms"])):
        assert not set(names) & set(broker.api("GET", query).json()[0])
        row = broker.api("GET", f"{query}?_fields=extended").json()[0]
        assert set(names) <= set(row)
        for name in names:
            assert not name.endswith("_ts") or abs(row[name] - row_time(broker)) < 60


def row_time(broker: BrokerProcess) -> int:
    found: int = broker.api("GET", "nodes?_fields=extended").json()[0]["datetime_ts"]
    return found
