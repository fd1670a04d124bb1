"""HTTP proxies before the broker: those named in the settings are believed, and what is granted to this machine is
granted to no request that a proxy passed on, whether it says so or not."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from emqx_mgmt.listeners.forwarded import Proxies, source_of
from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Connect, Subscribe
from tests.broker_process import APP, BrokerProcess, free_ports
from tests.listeners.nginx import needs_nginx, nginx
from tests.listeners.transports import WebSocket

ADMIN = ("admin", "public")
CLIENT = "127.0.0.5"  # where the client is, for a proxy at 127.0.0.1
ELSEWHERE = "203.0.113.9"
FORWARDED = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
WS = "EMQX_LISTENER__WS__EXTERNAL"


class Ask:
    """Requests to a port from an address; `proxied` asks nginx."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.port = port
        self.source = source

    def __call__(self, path: str, auth: tuple[str, str] | None = None, method: str = "GET", body: Any = None,
                 headers: dict[str, str] | None = None) -> tuple[int, str]:
        given = dict(headers or {})
        if auth is not None:
            given["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        with closing(HTTPConnection("127.0.0.1", self.port, 20, (self.source, 0))) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), given)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that knows of no proxy."""
    (ws,) = free_ports(1)
    yield from running(tmp_path_factory.mktemp("alone"), {WS: f"127.0.0.1:{ws}"})


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that knows of the proxy at 127.0.0.1."""
    (ws,) = free_ports(1)
    yield from running(tmp_path_factory.mktemp("behind"), {
        WS: f"127.0.0.1:{ws}",
        f"{WS}__PROXY_ADDRESS_HEADER": "X-Forwarded-For",
        f"{WS}__PROXY_PORT_HEADER": "X-Forwarded-Port",
        f"{WS}__PROXY_TRUSTED": "127.0.0.1/32",
        "EMQX_MANAGEMENT__PROXY_TRUSTED": "127.0.0.1/32",
        "EMQX_DASHBOARD__LISTENER__HTTP__MAX_CLIENTS_PER_ADDRESS": "1",
    })


def running(directory: Path, env: dict[str, str]) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(directory, env).start()
    yield broker
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def ws_port(broker: BrokerProcess) -> int:
    return int(broker.env[WS].rpartition(":")[2])


def location(broker: BrokerProcess, *directives: str, port: int | None = None, path: str = "/") -> str:
    target = f"http://127.0.0.1:{port or broker.dash_port}/"
    return f"location {path} {{ proxy_pass {target}; {' '.join(directives)} }}"


# -- what is granted to this machine --------------------------------------------------------------------


def test_from_this_machine_the_first_password_and_the_metrics_are_served(alone: BrokerProcess) -> None:
    ask = Ask(alone.dash_port)
    assert ask("/api/v3/brokers", ADMIN)[0] == 200
    assert ask("/metrics")[0] == 200
    assert ask("/api/v3/brokers", ADMIN, headers={"Host": f"localhost:{alone.dash_port}"})[0] == 200
    page = {"Origin": f"http://localhost:{alone.dash_port}"}
    assert ask("/api/v3/brokers", ADMIN, headers=page)[0] == 200


@needs_nginx
@pytest.mark.parametrize("directives", [
    (),
    (FORWARDED,),
    ("proxy_set_header X-Real-IP $remote_addr;", "proxy_http_version 1.1;"),
    ("proxy_set_header Host broker.example.org;", "proxy_http_version 1.1;"),
], ids=["nothing", "X-Forwarded-For", "X-Real-IP", "Host"])
def test_through_a_proxy_they_are_not(alone: BrokerProcess, tmp_path: Path, directives: tuple[str, ...]) -> None:
    """Whatever the proxy says, and also where it says nothing, as nginx does by itself."""
    with nginx(tmp_path / "nginx", location(alone, *directives)) as port:
        ask = Ask(port)
        status, text = ask("/api/v3/brokers", ADMIN)
        assert (status, "default password" in text) == (401, True)
        body = {"username": "admin", "password": "public"}
        status, text = ask("/api/v3/auth", method="POST", body=body)
        assert (status, "default password" in text) == (500, True)
        assert ask("/metrics") == (404, "Not found.")
        assert ask("/health/ready")[0] == 200


@pytest.mark.parametrize("headers", [
    {"Forwarded": f"for={ELSEWHERE}"}, {"Via": "1.1 cache"}, {"X-Forwarded-Proto": "https"}, {"X-Real-IP": "127.0.0.1"},
    {"Host": "broker.example.org"}, {"Host": ""}, {"Host": "127.0.0.1.example.org"}, {"Origin": "http://example.org"},
    {"Origin": "null"},
], ids=str)
def test_each_sign_of_a_proxy_or_of_another_page_is_enough(alone: BrokerProcess, headers: dict[str, str]) -> None:
    ask = Ask(alone.dash_port)
    assert ask("/api/v3/brokers", ADMIN, headers=headers)[0] == 401
    assert ask("/metrics", headers=headers)[0] == 404


def test_nothing_from_a_named_proxy_is_from_this_machine(behind: BrokerProcess) -> None:
    """Also what it does not say for whom: so an operator can close what has no sign at all."""
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "no address"}):
        ask = Ask(behind.dash_port)
        assert ask("/api/v3/brokers", ADMIN, headers=headers)[0] == 401
        assert ask("/metrics", headers=headers)[0] == 404
    assert Ask(behind.dash_port, CLIENT)("/metrics")[0] == 200


# -- whose header is believed ---------------------------------------------------------------------------


def origin_on_record(broker: BrokerProcess, ask: Ask, **headers: str) -> str:
    """What the audit record says of a change."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    assert ask("/api/v3/connections/x", APP, "DELETE", headers=named)[0] in (200, 500)
    return str(broker.api("GET", "audit?_limit=1").json()["items"][0]["from"])


@needs_nginx
def test_the_audit_record_names_the_client_behind_a_named_proxy(behind: BrokerProcess, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", location(behind, FORWARDED, port=behind.api_port)) as port:
        assert origin_on_record(behind, Ask(port, CLIENT)) == CLIENT
        # What a client writes there itself stands before what the proxy adds.
        assert origin_on_record(behind, Ask(port, CLIENT), X_Forwarded_For=ELSEWHERE) == CLIENT


def test_nobody_else_is_believed(alone: BrokerProcess, behind: BrokerProcess) -> None:
    assert origin_on_record(alone, Ask(alone.api_port), X_Forwarded_For=ELSEWHERE) == "127.0.0.1"
    assert origin_on_record(behind, Ask(behind.api_port, CLIENT), X_Forwarded_For=ELSEWHERE) == CLIENT
    assert origin_on_record(behind, Ask(behind.api_port), X_Forwarded_For=f"x, {ELSEWHERE}:99") == ELSEWHERE


def test_the_limit_of_an_address_is_not_for_a_named_proxy(behind: BrokerProcess) -> None:
    with socket.create_connection(("127.0.0.1", behind.dash_port), 10):
        assert Ask(behind.dash_port)("/status")[0] == 200
    with socket.create_connection(("127.0.0.1", behind.dash_port), 10, (CLIENT, 0)), \
            pytest.raises((ConnectionError, OSError)):
        Ask(behind.dash_port, CLIENT)("/status")


def test_two_headers_that_name_the_scheme(alone: BrokerProcess) -> None:
    """nginx configurations set both; gunicorn takes `https` in the second for a contradiction."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Protocol": "https", "X-Forwarded-Ssl": "on"}
    assert Ask(alone.api_port)("/api/v3/brokers", APP, headers=headers)[0] == 200


@needs_nginx
def test_the_page_to_try_the_api_works_below_any_path(alone: BrokerProcess, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", location(alone, port=alone.api_port, path="/emqx/")) as port:
        ask = Ask(port)
        status, page = ask("/emqx/api-docs", APP)
        assert status == 200
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) == 4
        assert all(ask(f"/emqx/{path}", APP)[0] == 200 for path in loaded)
        with closing(HTTPConnection("127.0.0.1", port, 20)) as connection:
            credentials = "Basic " + base64.b64encode(":".join(APP).encode()).decode()
            connection.request("GET", "/emqx/api-docs/?_style=envelope", headers={"Authorization": credentials})
            moved = connection.getresponse()
            assert (moved.status, moved.headers["Location"]) == (302, "../api-docs?_style=envelope")
        # Relative to where the document is (OpenAPI 3.1, section 4.8.5), so that requests go below the path too.
        assert json.loads(ask("/emqx/api-spec.json", APP)[1])["servers"] == [{"url": "."}]


# -- MQTT over WebSocket --------------------------------------------------------------------------------


def subscribed(port: int, name: str, topic_filter: str, host: str = "127.0.0.1", source: str = "127.0.0.1",
               extra: str = "", first: bytes = b"") -> tuple[int, Any]:
    """The return code of SUBSCRIBE by a client over WebSocket, and the client."""
    sock = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
    sock.sendall(first)
    stream = WebSocket(sock, host=f"{host}:{port}", extra=extra)
    stream.sendall(encode(Connect(name, 4), 4) + encode(Subscribe(1, [(topic_filter, 0)]), 4))
    received = b""
    while len(received) < 9:
        received += stream.recv(9)
    return received[8], stream


def client_row(broker: BrokerProcess, name: str) -> tuple[str, int]:
    (row,) = broker.api("GET", f"connections/{name}").json()
    return row["ipaddress"], row["port"]


GRANTED, REFUSED = 0, 0x80


def test_a_program_on_this_machine_may_what_the_shipped_rules_grant_it(alone: BrokerProcess) -> None:
    code, stream = subscribed(ws_port(alone), "here", "#")
    with closing(stream):
        assert code == GRANTED
        assert client_row(alone, "here")[0] == "127.0.0.1"


@pytest.mark.parametrize(("host", "extra"), [
    ("broker.example.org", ""),
    ("127.0.0.1", f"X-Forwarded-For: {ELSEWHERE}\r\n"),
    ("127.0.0.1", "X-Real-IP: 127.0.0.1\r\n"),
    ("127.0.0.1", "Origin: https://example.org\r\n"),
])
def test_one_behind_a_proxy_that_is_not_named_may_not(alone: BrokerProcess, host: str, extra: str) -> None:
    """Its address is not known: the proxy's stands for it, and gives it nothing."""
    for topic_filter in ("#", "$SYS/#"):
        code, stream = subscribed(ws_port(alone), "there", topic_filter, host, extra=extra)
        with closing(stream):
            assert code == REFUSED
            assert client_row(alone, "there")[0] == "127.0.0.1"


@pytest.mark.parametrize(("source", "extra", "row"), [
    ("127.0.0.1", f"X-Forwarded-For: {ELSEWHERE}\r\nX-Forwarded-Port: 4711\r\n", (ELSEWHERE, 4711)),
    ("127.0.0.1", f"X-Forwarded-For: 10.9.9.9, {ELSEWHERE}\r\n", (ELSEWHERE, 0)),
    ("127.0.0.1", f"X-Forwarded-For: 10.9.9.9\r\nX-Forwarded-For: {ELSEWHERE}:81, 127.0.0.1\r\n", (ELSEWHERE, 81)),
    ("127.0.0.1", "X-Forwarded-For: [2001:db8::9]:82\r\n", ("2001:db8::9", 82)),
    ("127.0.0.1", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Port: 4711\r\n", ("127.0.0.1", 4711)),
    ("127.0.0.1", "", ("127.0.0.1", None)),
    (CLIENT, f"X-Forwarded-For: {ELSEWHERE}\r\n", (CLIENT, None)),
])
def test_the_header_of_a_named_proxy_counts(
    behind: BrokerProcess, source: str, extra: str, row: tuple[str, int]
) -> None:
    """EMQ X's proxy_address_header and proxy_port_header; None: the port of the connection."""
    code, stream = subscribed(ws_port(behind), "named", "#", source=source, extra=extra)
    with closing(stream):
        address, port = client_row(behind, "named")
        assert (address, port) == (row[0], stream.sock.getsockname()[1] if row[1] is None else row[1])
        assert code == REFUSED


@needs_nginx
def test_clients_over_websocket_through_nginx(behind: BrokerProcess, tmp_path: Path) -> None:
    upgraded = ("proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;",
                'proxy_set_header Connection "upgrade";', FORWARDED,
                "proxy_set_header X-Forwarded-Port $remote_port;")
    with nginx(tmp_path / "nginx", location(behind, *upgraded, port=ws_port(behind))) as port:
        code, stream = subscribed(port, "web", "#", source=CLIENT)
        with closing(stream):
            assert client_row(behind, "web") == (CLIENT, stream.sock.getsockname()[1])
            assert code == REFUSED
        behind.api("POST", "banned", json={"who": CLIENT, "as": "ip_address"})
        sock = socket.create_connection(("127.0.0.1", port), 20, (CLIENT, 0))
        with closing(WebSocket(sock)) as banned:
            banned.sendall(encode(Connect("banned", 4), 4))
            assert banned.recv(4) == b"\x20\x02\x00\x05"
        behind.api("DELETE", f"banned/{CLIENT}?as=ip_address")


@pytest.mark.parametrize("said", [b"PROXY TCP4 127.0.0.1 127.0.0.1 4711 1883\r\n", b"PROXY UNKNOWN\r\n"])
def test_what_a_proxy_says_in_the_proxy_protocol_gives_no_more(start_broker: Any, said: bytes) -> None:
    """127.0.0.1 is on the proxy's machine, and a connection that it does not explain is passed on as well."""
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__PROXY_PROTOCOL": "on"})
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), 20) as sock:
        sock.sendall(said + encode(Connect("proxied", 4), 4) + encode(Subscribe(1, [("#", 0)]), 4))
        received = b""
        while len(received) < 9:
            received += sock.recv(9)
        assert received[8] == REFUSED


# -- the rule itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("peer", "headers", "client", "local"), [
    ("127.0.0.1", {"host": "localhost"}, "127.0.0.1", True),
    ("::1", {"host": "[::1]:8080"}, "::1", True),
    ("::ffff:127.0.0.1", {"host": "127.0.0.1"}, "127.0.0.1", True),
    ("192.0.2.1", {"host": "localhost"}, "192.0.2.1", False),
    ("10.0.0.1", {"host": "x", "x-client": ELSEWHERE}, ELSEWHERE, False),
    ("10.0.0.1", {"host": "localhost", "x-client": "127.0.0.1"}, "127.0.0.1", False),
    ("10.0.0.1", {"host": "x", "x-client": "10.0.0.7, 10.0.0.2"}, "10.0.0.7", False),
    ("10.0.0.1", {"host": "x", "x-client": f"{ELSEWHERE}, junk"}, "10.0.0.1", False),
    ("127.0.0.1", {"host": "localhost", "x-client": ELSEWHERE}, "127.0.0.1", False),
])
def test_where_a_request_comes_from(peer: str, headers: dict[str, str], client: str, local: bool) -> None:
    proxies = Proxies((ipaddress.ip_network("10.0.0.0/8"),), "X-Client")
    source = source_of(ipaddress.ip_address(peer), 9, headers, proxies)
    assert (str(source.address), source.local) == (client, local)
