"""Where clients come from: IPv6, and proxies that name them, on every listener."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.listeners.secured import CONNECT, CONNECT_OK, PINGREQ, PINGRESP, Secured, certificates, settings
from tests.listeners.transports import TRANSPORTS, WebSocket

V1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n"
V2 = (b"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16)
      + b"\x12\x67\x07\x5b")


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            return False
    return True


def served(tmp_path_factory: pytest.TempPathFactory, host: str, more: dict[str, str]) -> Iterator[Secured]:
    """A broker whose listeners are all at `host`."""
    made = certificates(tmp_path_factory.mktemp("certificates"))
    env, ports = settings(made)
    process = BrokerProcess(tmp_path_factory.mktemp("broker"), env)
    for name, value in process.env.items():
        if name.startswith("EMQX_") and value.startswith("127.0.0.1:") and name[5:] != "MANAGEMENT__LISTENER__HTTP":
            process.env[name] = value.replace("127.0.0.1", host)
    process.env |= more
    process.start()
    yield Secured(process, made, **ports)
    assert process.stop() == 0
    assert "Traceback" not in process.stderr, process.stderr


@pytest.fixture(scope="module")
def sixth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    yield from served(tmp_path_factory, "[::1]", {})


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    listeners = [name.upper() for name in TRANSPORTS]
    yield from served(tmp_path_factory, "127.0.0.1", {
        f"EMQX_LISTENER__{name}__EXTERNAL__{key}": value for name in listeners
        for key, value in (("PROXY_PROTOCOL", "on"), ("HANDSHAKE_TIMEOUT", "2s"))})


def port(secured: Secured, name: str) -> int:
    return secured.broker.mqtt_port if name == "tcp" else getattr(secured, name)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_messages_over_ipv6(sixth, name):
    with Client(port(sixth, name), f"six-{name}", host="::1",
                transport="websockets" if name in ("ws", "wss") else "tcp",
                tls=(sixth.certificates.ca,) if name in ("ssl", "wss") else ()) as client:
        client.subscribe(f"six/{name}", 2)
        sent = [bytes([qos]) * 20_000 for qos in (0, 1, 2) * 10]
        for payload in sent:
            client.paho.publish(f"six/{name}", payload, payload[0])
        assert sorted(client.receive(20).payload for _ in sent) == sorted(sent)
        (row,) = sixth.broker.api("GET", f"/connections/six-{name}").json()
        assert row["ipaddress"] == "::1"


def test_https_over_ipv6(sixth):
    answer = requests.get(f"https://[::1]:{sixth.https}/status", verify=sixth.certificates.ca, timeout=10)
    assert answer.ok
    assert f"[::1]:{sixth.https}" == sixth.row("https:management")["listen_on"]


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize(("header", "address"), [(V1, "203.0.113.7"), (V2, "2001:db8::7")], ids=["v1", "v2"])
def test_a_proxy_names_the_client(proxied, name, header, address):
    plain = socket.create_connection(("127.0.0.1", port(proxied, name)), timeout=20)
    plain.sendall(header)
    sock: Any = plain
    if name in ("ssl", "wss"):
        sock = proxied.certificates.context().wrap_socket(plain, server_hostname="localhost")
    with closing(sock):
        stream = WebSocket(sock) if name in ("ws", "wss") else sock
        stream.sendall(CONNECT + PINGREQ)
        received = b""
        while len(received) < 6:
            received += stream.recv(6)
        assert received == CONNECT_OK + PINGRESP
        (row,) = proxied.broker.api("GET", "/connections/test").json()
        assert (row["ipaddress"], row["port"]) == (address, 4711)


@pytest.mark.parametrize("name", TRANSPORTS)
def test_without_a_proxy_s_header_nobody_is_served(proxied, name):
    """Neither at once, where something else comes, nor later, where half a header is all that comes."""
    refused, late = (proxied.ended(f"mqtt:{name}", reason) for reason in REASONS) if name != "tcp" else (0, 0)
    for first in (b"\x16\x03\x01\x02\x00\x01", V1[:20]):
        with socket.create_connection(("127.0.0.1", port(proxied, name)), timeout=20) as sock:
            sock.sendall(first)
            assert not sock.recv(1)
    if name != "tcp":
        wait_until(lambda: [proxied.ended(f"mqtt:{name}", reason) for reason in REASONS] == [refused + 1, late + 1])


REASONS = ("proxy_protocol_error", "handshake_timeout")
