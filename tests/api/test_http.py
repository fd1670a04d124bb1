"""Paths, methods and credentials, below the handlers (behaviour, sections 1 and 2)."""

from __future__ import annotations

import base64
import json
import socket
from http.client import HTTPResponse
from urllib.parse import quote

import pytest
import requests

from tests.broker_process import APP, BrokerProcess


def raw(broker: BrokerProcess, method: str, path: str, **kw: object) -> requests.Response:
    """The path as written: requests would tidy it up."""
    request = requests.Request(method, broker.base_url, auth=APP, **kw)  # type: ignore[arg-type]
    prepared = broker.http.prepare_request(request)
    prepared.url = broker.base_url + path
    return broker.http.send(prepared, allow_redirects=False, timeout=5)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v3/brokers",
        "/api/v3/brokers/",
        "/api/v3//brokers",
        "//api/v3/brokers//",
        "/api//v3///brokers///",
        "/api/v3/%62rokers",
        "/api/v3/brokers?_page=zzz&x=%2F",
    ],
)
def test_slashes_are_ignored_and_nothing_redirects(broker: BrokerProcess, path: str) -> None:
    answer = raw(broker, "GET", path)
    assert answer.status_code == 200
    assert answer.json()[0]["sysdescr"] == "EMQ X Broker"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v3/nothing"),
        ("GET", "/api/v3/routes/a/b"),
        ("GET", "/api/v3/brokers%2F"),
        ("POST", "/api/v3/brokers"),
        ("PATCH", "/api/v3/brokers"),
        ("DELETE", "/api/v3/nodes/"),
        ("OPTIONS", "/api/v3/brokers"),
        ("GET", "/api/v2/brokers"),
        ("GET", "/"),
        ("GET", "/static/../api"),
        ("PUT", "/api/v3/nodes/emqx@127.0.0.1/plugins/no_such_plugin/load"),
    ],
)
def test_unknown_paths_and_methods_look_alike(broker: BrokerProcess, method: str, path: str) -> None:
    answer = raw(broker, method, path)
    assert (answer.status_code, answer.text) == (404, "Not found.")
    assert answer.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("path", ["/api/v3/", "/api/v3/apps", "/api/v3/routes?_limit=1", "/api/v3/apps?_style=xml",
                                  "/api/v3/nothing", "/api/v3/recon/memory", "/status", "/api-spec.json"])
def test_head_is_get_without_a_body(broker: BrokerProcess, path: str) -> None:
    """RFC 9110, section 9.3.2."""
    head, get = raw(broker, "HEAD", path), raw(broker, "GET", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for name in ("Content-Type", "Content-Length", "Content-Encoding"):
        assert head.headers.get(name) == get.headers.get(name), name


def test_head_needs_credentials_and_leaves_no_stream_open(broker: BrokerProcess) -> None:
    assert requests.head(f"{broker.base_url}/api/v3/brokers", timeout=5).status_code == 401
    for _ in range(20):  # more than one application may have at a time
        answer = raw(broker, "HEAD", "/api/v3/events")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert raw(broker, "HEAD", "/api/v3/mqtt/publish").status_code == 404


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ???",
        "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
        basic("tester"),
        basic("tester:"),
        basic(":tester-secret"),
        basic("tester:wrong"),
        basic("nobody:tester-secret"),
        basic("tester:tester-secret "),
        "Bearer " + base64.b64encode(b"tester:tester-secret").decode(),
        "Digest username=tester",
    ],
)
@pytest.mark.parametrize("path", ["", "brokers", "nothing", "authority", "auth/x", "%ff"])
def test_refusal_is_the_same_for_every_cause(broker: BrokerProcess, header: str | None, path: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = requests.get(f"{broker.base_url}/api/v3/{path}", headers=headers, timeout=5)
    assert (answer.status_code, answer.text) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"] == 'Basic Realm="minirest-server"'


def test_scheme_is_case_insensitive(broker: BrokerProcess) -> None:
    header = basic(":".join(APP)).replace("Basic", "basic")
    answer = requests.get(f"{broker.base_url}/api/v3/brokers", headers={"Authorization": header}, timeout=5)
    assert answer.status_code == 200


def test_credentials_that_are_not_ascii(broker: BrokerProcess) -> None:
    """RFC 7617, section 2: clients encode them as UTF-8 or, as Python's `requests` does, as Latin-1."""
    broker.api("POST", "users", json={"username": "jörg", "password": "größe"})
    for encoding in ("utf-8", "latin-1"):
        given = ("jörg".encode(encoding), "größe".encode(encoding))
        assert broker.api("GET", "brokers", auth=given, port=broker.dash_port).status_code == 200
    assert broker.api("GET", "brokers", auth=("jörg", "größe"), port=broker.dash_port).status_code == 200
    assert broker.api("GET", "brokers", auth=("jörg", "grösse"), port=broker.dash_port).status_code == 401
    broker.api("DELETE", "users/jörg")


def test_application_credentials_do_not_open_the_dashboard(broker: BrokerProcess) -> None:
    assert broker.api("GET", "brokers", port=broker.dash_port).status_code == 401


def on_the_wire(
    broker: BrokerProcess, method: str, target: str, head: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """A request byte by byte as written, its end shown by closing our side: status and body."""
    credentials = f"Authorization: {basic(':'.join(APP))}"
    lines = (f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", credentials, head)
    with socket.create_connection(("127.0.0.1", broker.api_port), timeout=10) as sock:
        sock.sendall("\r\n".join((*filter(None, lines), "", "")).encode() + body)
        sock.shutdown(socket.SHUT_WR)
        answer = HTTPResponse(sock)
        answer.begin()
        return answer.status, answer.read()


def test_what_was_not_escaped_means_itself(broker: BrokerProcess) -> None:
    """curl sends what is typed; EMQ X takes it (behaviour, 1.4)."""
    publish = {"topic": "中/é", "payload": "x", "retain": True}
    assert broker.api("POST", "mqtt/publish", json=publish).json() == {"code": 0}
    status, body = on_the_wire(broker, "GET", "/api/v3/retained/中%2Fé")
    assert (status, json.loads(body)[0]["topic"]) == (200, "中/é")
    status, body = on_the_wire(broker, "GET", "/api/v3/banned?who=中&_limit=3&_style=envelope")
    assert (status, json.loads(body)["meta"]["limit"]) == (200, 3)


@pytest.mark.parametrize("topic", ["..", ".", "a/../b%2F?", ":t", "é"])
def test_a_segment_may_stand_in_the_query(broker: BrokerProcess, topic: str) -> None:
    """What no path holds (behaviour, 1.4): browsers resolve `..` even where it is escaped."""
    assert broker.api("POST", "mqtt/publish", json={"topics": [topic], "payload": "x", "retain": True}).ok
    named = quote(topic, safe="")
    status, body = on_the_wire(broker, "GET", f"/api/v3/retained/:t?%3At={named}&:t=second")
    assert [row["topic"] for row in json.loads(body)] == [topic]
    status, body = on_the_wire(broker, "DELETE", f"/api/v3/retained/%3At?:t={named}")
    assert (status, json.loads(body)) == (200, {"deleted": 1})
    status, body = on_the_wire(broker, "GET", "/api/v3/:what?:what=%ff")
    assert status in (400, 404)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Content-Length: 40", b'{"topic": "cut"}'),
        ("Transfer-Encoding: chunked", b'zz\r\n{"topic": "cut"}\r\n0\r\n\r\n'),
        ("Transfer-Encoding: chunked", b'10\r\n{"topic": "cut"}0\r\n\r\n'),
        ("Transfer-Encoding: chunked", b'10;\r\r\n{"topic": "cut"}\r\n0\r\n\r\n'),
        ("Transfer-Encoding: chunked", b'10\r\n{"topic": "cut"}\r\n'),
        ("Transfer-Encoding: chunked", b'10\r\n{"topic": "cut"}\r\n0\r\nno trailer\r\n\r\n'),
    ],
)
def test_a_body_that_is_not_whole_does_nothing(broker: BrokerProcess, head: str, body: bytes) -> None:
    """RFC 9112, section 8: what is cut off may be valid JSON all the same."""
    before = broker.api("GET", "metrics").json()[0]["metrics"]["messages/dropped"]
    status, text = on_the_wire(broker, "POST", "/api/v3/mqtt/publish", head, body)
    assert status == 400, text
    assert b"Internal Error" not in text
    assert broker.api("GET", "metrics").json()[0]["metrics"]["messages/dropped"] == before
