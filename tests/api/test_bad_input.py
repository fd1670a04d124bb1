"""Malformed and mistyped input, over every endpoint and in both styles: never an unhandled error, never a change.

Bare: 400, 413 or 422 with a message that names the parameter. Envelope: HTTP 200 with the v3 code and the message.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.reference import INDEX
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"
PAGED = [path for kind in ("connections", "sessions", "subscriptions") for path in (kind, f"nodes/{NODE}/{kind}")] + [
    "routes",
    "banned",
]
SERVED = sorted((entry["method"], entry["path"].replace(":node", NODE)) for entry in INDEX)

BODIES = {
    "not json": b"{",
    "not utf-8": b'{"topic": "\xff"}',
    "lone surrogate": b'{"topic": "\\ud800"}',
    "array": b"[]",
    "array of objects": b'[{"topic": "a"}]',
    "number": b"1",
    "text": b'"ok"',
    "null": b"null",
    "deep array": b'{"topic": ' + b"[" * 500 + b"]" * 500 + b"}",
    "bottomless array": b"[" * 100_000,
    "bottomless object": b'{"a":' * 100_000,
    "just too large": b'{"payload": "' + b"x" * (1 << 20) + b'"}',
}

MISTYPED: list[tuple[str, str, dict[str, Any], str]] = [
    *(("POST", "mqtt/publish", {"topic": "a"} | change, name) for name, change in {
        "topic": {"topic": 5},
        "qos": {"qos": 3},
        "retain": {"retain": "perhaps"},
        "client_id": {"client_id": 7},
        "topics": {"topics": 5},
    }.items()),
    ("POST", "mqtt/publish", {"topic": "a", "qos": -1}, "qos"),
    ("POST", "mqtt/publish", {"topic": "a", "qos": 1.5}, "qos"),
    ("POST", "mqtt/publish", {"topic": "a", "qos": "high"}, "qos"),
    ("POST", "mqtt/publish", {"topic": "a", "qos": None}, "qos"),
    ("POST", "mqtt/publish", {"topic": "a", "qos": 10**30}, "qos"),
    ("POST", "mqtt/publish", {"topic": None}, "topic"),
    ("POST", "mqtt/publish", {"payload": "x"}, "topic"),
    ("POST", "mqtt/subscribe", {"topic": "a"}, "client_id"),
    ("POST", "mqtt/subscribe", {"client_id": "c"}, "topic"),
    ("POST", "mqtt/subscribe", {"topic": "a", "client_id": "c", "qos": [1]}, "qos"),
    ("POST", "mqtt/unsubscribe", {"topic": "a"}, "client_id"),
    ("POST", "mqtt/unsubscribe", {"topic": {}, "client_id": "c"}, "topic"),
    ("POST", "apps", {"name": "x"}, "app_id"),
    ("POST", "apps", {"app_id": "x"}, "name"),
    ("POST", "apps", {"app_id": "", "name": "x"}, "app_id"),
    ("POST", "apps", {"app_id": "x:y", "name": "x"}, "app_id"),
    ("POST", "apps", {"app_id": "x", "name": ""}, "name"),
    ("POST", "apps", {"app_id": "x", "name": "x", "status": "yes"}, "status"),
    ("POST", "apps", {"app_id": "x", "name": "x", "expired": "soon"}, "expired"),
    ("POST", "apps", {"app_id": "x", "name": "x", "expired": -1}, "expired"),
    ("POST", "apps", {"app_id": "x", "name": "x", "expired": 10**30}, "expired"),
    ("POST", "apps", {"app_id": "x", "name": "x", "desc": 1}, "desc"),
    ("POST", "apps", {"app_id": "x", "name": "x", "style": "xml"}, "style"),
    ("PUT", "apps/tester", {"status": 7}, "status"),
    ("POST", "users", {"username": 1, "password": "x"}, "username"),
    ("POST", "users", {"username": "a:b", "password": "x"}, "username"),
    ("POST", "users", {"username": "x", "password": "x", "tags": 1}, "tags"),
    ("PUT", "users/admin", {}, "tags"),
    ("PUT", "change_pwd/admin", {"old_pwd": "public"}, "new_pwd"),
    ("PUT", "change_pwd/admin", {"old_pwd": "public", "new_pwd": ""}, "new_pwd"),
    ("PUT", "change_pwd/admin", {"old_pwd": "public", "new_pwd": 5}, "new_pwd"),
    ("POST", "auth", {"username": "admin", "password": 5}, "password"),
    ("PUT", "configs/emqx", {"key": "mqtt.allow_anonymous"}, "value"),
    ("PUT", "configs/emqx", {"value": "true"}, "key"),
    ("PUT", "configs/emqx", {"key": "mqtt.allow_anonymous", "value": False}, "value"),
    ("PUT", f"nodes/{NODE}/configs/emqx", {"key": 1, "value": "x"}, "key"),
    ("DELETE", "configs/emqx", {}, "key"),
    ("POST", "banned", {"who": "x"}, "as"),
    ("DELETE", "banned/x", {}, "as"),
    *(("GET", path, {"_limit": value}, "_limit") for path in PAGED for value in ("abc", 0, -1, "1e9", 1.5, "", None)),
    *(("GET", path, {"_page": value}, "_page") for path in PAGED for value in ("x", "1.0", [], True, "9" * 5000)),
    ("GET", "brokers", {"_style": "xml"}, "_style"),
    ("GET", "metrics", {"_names": "commas"}, "_names"),
]  # fmt: skip


def assert_refused(answer: Any, style: str, name: str = "") -> None:
    assert "Internal Error" not in answer.text
    body = answer.json()
    assert name in body["message"]
    if style == "bare":
        assert answer.status_code in (400, 413, 422)
        assert body["errorCode"] in (107, 108, 109)
    else:
        assert answer.status_code == 200
        assert list(body) == ["code", "message"]
        assert body["code"] in (107, 108, 109)


@pytest.mark.parametrize("style", ["bare", "envelope"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies_that_are_not_an_object(broker: BrokerProcess, style: str, body: bytes) -> None:
    for method, path in SERVED:
        answer = broker.api(method, path, data=body, headers={"X-API-Style": style})
        assert_refused(answer, style)


@pytest.mark.parametrize("style", ["bare", "envelope"])
@pytest.mark.parametrize(("method", "path", "members", "name"), MISTYPED)
def test_mistyped_members(
    broker: BrokerProcess, style: str, method: str, path: str, members: dict[str, Any], name: str
) -> None:
    if name in ("_style", "_names"):
        answer = broker.api(method, f"{path}?{name}={members[name]}")
        assert_refused(answer, "bare", name)
        return
    answer = broker.api(method, path, data=json.dumps(members), headers={"X-API-Style": style})
    assert_refused(answer, style, name)


def test_nothing_was_made_of_it(broker: BrokerProcess) -> None:
    assert [app["app_id"] for app in broker.api("GET", "apps").json()] == ["tester"]
    assert [user["username"] for user in broker.api("GET", "users").json()] == ["admin"]
    assert broker.api("GET", "brokers", auth=("admin", "public"), port=broker.dash_port).status_code == 200


@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_paths_that_are_not_utf_8(broker: BrokerProcess, style: str) -> None:
    for kind in ("connections", "sessions", "subscriptions", "routes", "apps"):
        answer = broker.api("GET", f"{kind}/%ff%fe", headers={"X-API-Style": style})
        assert_refused(answer, style, "path")


@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_every_endpoint_takes_odd_words(broker: BrokerProcess, style: str) -> None:
    """Any word in any path: found, not found or refused, and never our own mistake."""
    for word in ("%00", "%25", "a%2Fb", "%F0%9F%98%80", "'", "..;", "x" * 4000, "-1", "undefined"):
        for entry in INDEX:
            path = "/".join(word if part.startswith(":") else part for part in entry["path"].split("/"))
            if ":" in entry["path"] and entry["path"] != path:
                answer = broker.api(entry["method"], path, headers={"X-API-Style": style})
                assert "Internal Error" not in answer.text, (entry["method"], path)


@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_queries_that_are_not_utf_8(broker: BrokerProcess, style: str) -> None:
    for method, path in SERVED:
        answer = broker.api(method, f"{path}?topic=%ff&client_id=%c3(", headers={"X-API-Style": style})
        assert_refused(answer, style, "query")


@pytest.mark.parametrize("style", ["bare", "envelope"])
def test_a_query_of_thousands_of_parameters(broker: BrokerProcess, style: str) -> None:
    answer = broker.api("GET", "routes?" + "a=1&" * 2000, headers={"X-API-Style": style})
    assert_refused(answer, style, "query")


def test_a_path_of_thousands_of_segments_is_none(broker: BrokerProcess) -> None:
    assert broker.api("GET", "routes/" + "a/" * 2000).status_code == 404
    assert broker.api("GET", "/" * 2000 + "routes").status_code == 200


def test_a_body_without_a_length_is_limited_too(broker: BrokerProcess) -> None:
    pieces = (b" " * 65536 for _ in range(20))
    answer = broker.api("POST", "mqtt/publish", data=pieces)
    assert_refused(answer, "bare")
    assert answer.status_code == 413
    answer = broker.api("POST", "mqtt/publish", data=iter([b'{"topic":', b' "chunked"}']))
    assert answer.json() == {"code": 0}


@pytest.mark.parametrize(("method", "path", "body", "message"), [
    ("PUT", "log/levels/api", {"level": "loud"},
     "bad parameter level: invalid value 'loud': must be one of debug, info, warning, error"),
    ("POST", "apps", {"app_id": "x", "name": "x", "style": "xml"},
     "bad parameter style: invalid value 'xml': must be one of bare, envelope"),
    ("POST", "apps", {"app_id": "x", "name": "x", "expired": "soon"},
     "bad parameter expired: invalid value 'soon': must be an integer or undefined"),
    ("POST", "banned", {"who": "x", "as": "client_id", "until": "tomorrow"},
     "bad parameter until: invalid value 'tomorrow': must be an integer or undefined"),
    ("POST", "mqtt/publish", {"topic": "a", "properties": {"expiry": 1}},
     "bad parameter properties: object contains unknown field `expiry`: must be one of payload_format_indicator,"
     " message_expiry_interval, content_type, response_topic, correlation_data, user_properties"),
])
def test_what_may_be_there_is_said(broker: BrokerProcess, method: str, path: str, body: dict[str, Any],
                                   message: str) -> None:
    assert broker.api(method, path, json=body).json() == {"message": message, "errorCode": 108}


@pytest.mark.parametrize(("body", "message"), [
    (b"topic=a&payload=21.5", "the body is a form (name=value): send a JSON object"),
    (b'--x\r\nContent-Disposition: form-data; name="topic"\r\n\r\na\r\n--x--\r\n',
     "the body is a form of several parts (multipart/form-data): send a JSON object"),
    ('{"topic": "größe"}'.encode("latin-1"),
     "the body is not UTF-8, at byte 13 (it may be Latin-1): send JSON as UTF-8"),
    ('{"topic": "a"}'.encode("utf-16"), "the body is UTF-16: send JSON as UTF-8"),
    (b"<topic>a</topic>", "the body is not valid JSON: invalid character (byte 0)"),
    (b'{"topic": "a"', "the body is not valid JSON: input data was truncated"),
], ids=["form", "parts", "latin-1", "utf-16", "xml", "cut"])
def test_a_body_that_is_no_json_is_called_what_it_is(broker: BrokerProcess, body: bytes, message: str) -> None:
    """Whatever its Content-Type says: `curl -d` calls everything a form."""
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": kind}
        answer = broker.api("POST", "mqtt/publish", data=body, headers=headers)
        assert (answer.status_code, answer.json()) == (400, {"message": message, "errorCode": 109})
        answer = broker.api("POST", "mqtt/publish?_style=envelope", data=body, headers=headers)
        assert answer.json() == {"code": 109, "message": message}


def test_a_byte_order_mark_is_skipped(broker: BrokerProcess) -> None:
    """RFC 8259, section 8.1: parsers may ignore it; Windows' editors and PowerShell write it."""
    assert broker.api("POST", "mqtt/publish", data=b'\xef\xbb\xbf{"topic": "a"}').json() == {"code": 0}
    assert broker.api("GET", "brokers", data=b"\xef\xbb\xbf").status_code == 200


HUGE = 10**15 - 1
LISTS = [*PAGED, "retained", "topic_metrics", "slow_subscribers", "audit", "sessions/queued/messages"]


@pytest.mark.parametrize("path", LISTS)
def test_pages_beyond_every_table_are_empty(queue: str, broker: BrokerProcess, path: str) -> None:
    for page, limit in ((HUGE, HUGE), (HUGE, 1), (1, HUGE), (-HUGE, 1)):
        answer = broker.api("GET", f"{path}?_page={page}&_limit={limit}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["meta"]["page"] == page
        if page == HUGE:
            assert answer.json()["items"] == []
    answer = broker.api("GET", f"{path}?_page={10**15}")
    assert answer.json()["message"] == "bad parameter _page: must be an integer of at most 15 digits"


@pytest.fixture(scope="module")
def queue(broker: BrokerProcess) -> str:
    """A session with messages in its queue, on disk."""
    with Client(broker.mqtt_port, "queued", clean=False):
        broker.api("POST", "mqtt/subscribe", json={"client_id": "queued", "topic": "queue", "qos": 1})
    wait_until(lambda: not broker.api("GET", "connections/queued").json())
    broker.api("POST", "mqtt/publish", json={"topic": "queue", "payload": "x", "qos": 1, "retain": True})
    return "queued"


@pytest.mark.parametrize("bound", ["253402300800", "9" * 18, "1" * 5000, "10000-01-01 00:00:00", "٢٠٢٦", "中"])
def test_dates_beyond_the_calendar_are_refused(broker: BrokerProcess, bound: str) -> None:
    """Texts of dates are compared: one with five digits for its year would come before all others."""
    answer = broker.api("GET", "audit", params={"_lte_at": bound})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("bad parameter _lte_at: must be unix seconds or YYYY-MM-DD HH:MM:SS")


def test_dates_of_old_are_before_those_of_now(broker: BrokerProcess) -> None:
    broker.api("DELETE", "connections/nobody")
    assert broker.api("GET", "audit", params={"_gte_at": "0900-01-01 00:00:00"}).json()["meta"]["count"] > 0
