"""Malformed and mistyped input, over every endpoint and in both styles: never an unhandled error, never a change.

Bare: 400, 413 or 422 with a message that names the parameter. Envelope: HTTP 200 with the v3 code and the message.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.reference import INDEX
from tests.broker_process import BrokerProcess

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
        "topics": {"topics": ["a"]},
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
    ("POST", "apps", {"app_id": "x", "name": "x", "secret": ""}, "secret"),
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
     "bad parameter level: invalid enum value 'loud': must be one of debug, info, warning, error"),
    ("POST", "apps", {"app_id": "x", "name": "x", "style": "xml"},
     "bad parameter style: invalid enum value 'xml': must be one of bare, envelope"),
    ("POST", "mqtt/publish", {"topic": "a", "properties": {"expiry": 1}},
     "bad parameter properties: object contains unknown field `expiry`: must be one of payload_format_indicator,"
     " message_expiry_interval, content_type, response_topic, correlation_data, user_properties"),
])
def test_what_may_be_there_is_said(broker: BrokerProcess, method: str, path: str, body: dict[str, Any],
                                   message: str) -> None:
    assert broker.api(method, path, json=body).json() == {"message": message, "errorCode": 108}
