"""Clients that mean no good: each runs into a limit, and is counted."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import requests

from tests.broker_process import BrokerProcess, free_ports, wait_until
from tests.listeners.secured import CONNECT, CONNECT_OK, PINGREQ, PINGRESP, Secured
from tests.listeners.transports import frame, upgrade

AUTHORIZED = b"Authorization: Basic " + base64.b64encode(b"tester:tester-secret") + b"\r\n"
PING, CLOSE, BINARY, TEXT = 0x89, 0x88, 0x82, 0x81


@pytest.fixture
def web(secured: Secured) -> Iterator[socket.socket]:
    """A WebSocket just opened."""
    with socket.create_connection(("127.0.0.1", secured.ws), timeout=10) as sock:
        sock.sendall(upgrade())
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        yield sock


def read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def to_the_end(sock: socket.socket) -> bytes:
    data = b""
    try:
        while more := sock.recv(4096):
            data += more
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("name", ["tcp", "ssl", "ws", "wss"])
def test_a_byte_now_and_then_buys_no_time(secured, name):
    port = secured.broker.mqtt_port if name == "tcp" else getattr(secured, name)
    reason = "idle_timeout" if name == "tcp" else "handshake_timeout"
    before = secured.ended(f"mqtt:{name}", reason) if name != "tcp" else 0
    first = {"tcp": CONNECT, "ws": upgrade()}.get(name, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60))
    with socket.create_connection(("127.0.0.1", port), timeout=15) as sock:
        began = time.monotonic()
        try:
            for byte in first[:40]:
                sock.sendall(bytes([byte]))
                time.sleep(0.2)
                if time.monotonic() - began > 6:
                    break
            ended = not to_the_end(sock)
        except (BrokenPipeError, ConnectionResetError):
            ended = True
        assert ended
    if name != "tcp":
        wait_until(lambda: secured.ended(f"mqtt:{name}", reason) > before)


def test_nonsense_instead_of_a_handshake(secured):
    before = secured.ended("mqtt:ssl", "handshake_failed")
    with socket.create_connection(("127.0.0.1", secured.ssl), timeout=10) as sock:
        sock.sendall(CONNECT + b"GET / HTTP/1.1\r\n\r\n")
        to_the_end(sock)
    wait_until(lambda: secured.ended("mqtt:ssl", "handshake_failed") == before + 1)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade(path="/other"), b"404"),
        (upgrade(protocol="chat"), b"400"),
        (b"POST /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (upgrade().replace(b"Version: 13", b"Version: 8"), b"426"),
        (upgrade(extra="X: " + "x" * 9000 + "\r\n"), b"431"),
        (b"x" * 9000, b"431"),
        (upgrade(extra="Host: y\r\n"), b"400"),
        (upgrade(extra="X: a\0b\r\n"), b"400"),
        (upgrade(protocol="mqtt\x0b"), b"400"),
        (upgrade(extra="Content-Length: 5\r\n") + b"hello", b"400"),
        (upgrade(extra="Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", b"400"),
    ],
)
def test_bad_requests_are_answered_closed_and_counted(secured, request_bytes, status):
    reason = "ws_header_too_large" if status == b"431" else "ws_bad_request"
    before = secured.ended("mqtt:ws", reason)
    with socket.create_connection(("127.0.0.1", secured.ws), timeout=10) as sock:
        sock.sendall(request_bytes)
        assert to_the_end(sock).split()[1] == status
    wait_until(lambda: secured.ended("mqtt:ws", reason) == before + 1)


def test_pages_of_other_origins_are_refused_where_some_are_named(start_broker):
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_LISTENER__WS__EXTERNAL": f"127.0.0.1:{port}",
                           "EMQX_LISTENER__WS__EXTERNAL__ALLOWED_ORIGINS": "https://a.example.org,https://b.example.org"})
    for origin, status in (("https://a.example.org", b"101"), ("https://b.example.org", b"101"),
                           ("https://a.example.org.evil.org", b"403"), ("", b"403")):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(upgrade(extra=f"Origin: {origin}\r\n" if origin else ""))
            assert sock.recv(4096).split()[1] == status
    wait_until(lambda: shutdown_count(broker, port).get("ws_bad_request") == 2)


def test_one_address_may_be_kept_from_taking_all_connections(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__MAX_CONNECTIONS_PER_ADDRESS": "2"})
    with contextlib.ExitStack() as stack:
        def connect(source: str) -> socket.socket:
            sock = stack.enter_context(socket.create_connection(
                ("127.0.0.1", broker.mqtt_port), timeout=10, source_address=(source, 0)))
            sock.sendall(CONNECT.replace(b"test", b"%04x" % sock.getsockname()[1]))
            return sock

        first, second = connect("127.0.0.2"), connect("127.0.0.2")
        assert read(first, 4) == read(second, 4) == CONNECT_OK
        assert not to_the_end(connect("127.0.0.2"))
        assert read(connect("127.0.0.3"), 4) == CONNECT_OK
        first.close()
        wait_until(lambda: read(connect("127.0.0.2"), 4) == CONNECT_OK)
    assert shutdown_count(broker, broker.mqtt_port)["max_connections_per_address"] >= 1


def shutdown_count(broker: BrokerProcess, port: int) -> dict[str, int]:
    (node,) = broker.api("GET", "/listeners/").json()
    return next(dict(row["shutdown_count"]) for row in node["listeners"] if row["listen_on"] == f"127.0.0.1:{port}")


@pytest.mark.parametrize("name", ["ssl", "wss"])
def test_nonsense_behind_a_handshake(secured, name):
    before = secured.ended(f"mqtt:{name}", "tls_error")
    sock = secured.tls(getattr(secured, name))
    with socket.socket(fileno=sock.detach()) as plain:
        plain.settimeout(10)
        plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))  # a record that nobody has encrypted
        to_the_end(plain)
    wait_until(lambda: secured.ended(f"mqtt:{name}", "tls_error") == before + 1)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_and_packets_may_be_cut_anywhere(web, size):
    """[MQTT-6.0.0-2] A packet may begin and end anywhere in frames, and frames anywhere in segments."""
    packets = CONNECT + PINGREQ * 3
    stream = b"".join(
        frame(BINARY & 0x0F if at == 0 else 0x00, packets[at : at + size]) if at + size < len(packets)
        else frame(BINARY if at == 0 else 0x80, packets[at : at + size])
        for at in range(0, len(packets), size)
    )
    for at in range(0, len(stream), 5):
        web.sendall(stream[at : at + 5])
    expected = CONNECT_OK + PINGRESP * 3
    received = b""
    while len(received) < len(expected):
        head = read(web, 2)
        assert head[0] == BINARY
        received += read(web, head[1])
    assert received == expected


def test_a_ping_is_answered(web):
    web.sendall(frame(PING, b"are you there"))
    assert read(web, 15) == b"\x8a\x0dare you there"


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (frame(TEXT, b"hello"), 1003, "ws_text_frame"),
        (b"\x82\x01x", 1002, "ws_protocol_error"),
        (frame(0xC2, b"x"), 1002, "ws_protocol_error"),
        (frame(0x80, b"x"), 1002, "ws_protocol_error"),
        (frame(0x09, b""), 1002, "ws_protocol_error"),
        (frame(0x89, bytes(126)), 1002, "ws_protocol_error"),
        (b"\x82\xff" + struct.pack("!Q", 2 << 20) + bytes(4), 1009, "ws_frame_too_large"),
        (b"\x82\xff" + struct.pack("!Q", 1 << 63) + bytes(4), 1002, "ws_protocol_error"),
        (b"\x82\xff" + struct.pack("!Q", 65535) + bytes(4), 1002, "ws_protocol_error"),
        (b"\x82\xfe" + struct.pack("!H", 125) + bytes(4), 1002, "ws_protocol_error"),
        (frame(PING) * 30, 1008, "ws_control_flood"),
        (frame(0x02) + frame(0x00) * 30, 1008, "ws_control_flood"),
    ],
)
def test_who_breaks_the_rules_is_told_and_counted(secured, web, sent, code, reason):
    before = secured.ended("mqtt:ws", reason)
    web.sendall(sent)
    assert to_the_end(web).endswith(b"\x88\x02" + struct.pack("!H", code))
    wait_until(lambda: secured.ended("mqtt:ws", reason) == before + 1)


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b"", b""),
        *((code.to_bytes(2, "big") + b"bye", code.to_bytes(2, "big")) for code in (1000, 1003, 1007, 1014, 3000, 4999)),
        *((code.to_bytes(2, "big"), b"\x03\xea") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535)),
        (b"\x03", b"\x03\xea"),
        (b"\x03\xe8\xff\xfe", b"\x03\xef"),
    ],
)
def test_a_close_frame_is_answered(web, said, answered):
    """RFC 6455, 5.5.1 and 7.4: with its code; 1002 for one that nobody may send, 1007 for a reason not in UTF-8."""
    web.sendall(frame(CLOSE, said))
    assert to_the_end(web) == bytes([CLOSE, len(answered)]) + answered


def test_the_target_may_name_the_host(secured):
    """RFC 9112, 3.2.2, and RFC 6455, 4.2.1."""
    with socket.create_connection(("127.0.0.1", secured.ws), timeout=10) as sock:
        sock.sendall(upgrade(path="http://broker.example.org:8083/mqtt?a=b"))
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")


def test_no_extension_is_agreed_to(secured):
    with socket.create_connection(("127.0.0.1", secured.ws), timeout=10) as sock:
        sock.sendall(upgrade(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n"))
        assert b"extensions" not in sock.recv(4096).lower()


def http(secured: Secured, scheme: str, receive_buffer: int = 0) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(15)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", secured.https if scheme == "https" else secured.broker.api_port))
    if scheme == "https":
        return secured.certificates.context().wrap_socket(sock, server_hostname="localhost")
    return sock


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_slow_http_head_is_cut_off(secured, scheme):
    before = secured.ended(f"{scheme}:management", "header_timeout")
    with http(secured, scheme) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\nHost:")
        assert not to_the_end(sock)
    wait_until(lambda: secured.ended(f"{scheme}:management", "header_timeout") == before + 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_byte_of_a_body_now_and_then_buys_no_time(secured, scheme):
    before = secured.ended(f"{scheme}:management", "body_timeout")
    with http(secured, scheme) as sock:
        sock.sendall(b"POST /api/v3/mqtt/publish HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED +
                     b"Content-Length: 1000\r\n\r\n")
        sock.settimeout(0.3)
        answer = b""
        deadline = time.monotonic() + 20
        while not answer and time.monotonic() < deadline:
            sock.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
    wait_until(lambda: secured.ended(f"{scheme}:management", "body_timeout") == before + 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_does_not_read_answers_is_cut_off(secured, scheme):
    """Asks again and again, for more than sockets hold."""
    before = secured.ended(f"{scheme}:management", "send_timeout")
    request = b"GET /api-spec.json HTTP/1.1\r\nHost: x\r\n" + AUTHORIZED + b"\r\n"
    with http(secured, scheme, receive_buffer=4096) as sock:
        sock.sendall(request * 200)
        wait_until(lambda: secured.ended(f"{scheme}:management", "send_timeout") == before + 1, 20)
        with contextlib.suppress(OSError):
            to_the_end(sock)


def test_bad_http_requests_are_counted_and_do_not_fill_the_log(secured):
    before = secured.ended("http:management", "bad_request")
    lines = secured.broker.stderr.count("Invalid request")
    for _ in range(200):
        with http(secured, "http") as sock:
            sock.sendall(b"nonsense\r\n\r\n")
            assert to_the_end(sock).startswith(b"HTTP/1.1 400 ")
    wait_until(lambda: secured.ended("http:management", "bad_request") == before + 200)
    assert 0 < secured.broker.stderr.count("Invalid request") - lines <= 60  # 20 in ten seconds


def test_half_a_handshake_with_https_is_cut_off_and_counted(secured):
    before = secured.ended("https:management", "handshake_timeout")
    with socket.create_connection(("127.0.0.1", secured.https), timeout=15) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert not to_the_end(sock)
    wait_until(lambda: secured.ended("https:management", "handshake_timeout") == before + 1)


class OpenSSLClient:
    """What Python's own module cannot ask for: groups of a key exchange, and new keys in the middle."""

    lib = ctypes.CDLL("libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(lib, name).restype = ctypes.c_void_p
    SET_GROUPS = 92

    def __init__(self, sock: socket.socket, groups: bytes = b"P-256") -> None:
        context = ctypes.c_void_p(self.lib.SSL_CTX_new(ctypes.c_void_p(self.lib.TLS_client_method())))
        assert self.lib.SSL_CTX_ctrl(context, self.SET_GROUPS, ctypes.c_long(0), groups) == 1
        self.ssl = ctypes.c_void_p(self.lib.SSL_new(context))
        assert self.lib.SSL_set_fd(self.ssl, sock.fileno()) == 1

    def connects(self) -> bool:
        return bool(self.lib.SSL_connect(self.ssl) == 1)

    def changes_keys(self) -> bool:
        return bool(self.lib.SSL_key_update(self.ssl, 0) == 1 and self.lib.SSL_do_handshake(self.ssl) == 1)


@pytest.mark.parametrize("name", ["ssl", "wss", "https"])
def test_new_keys_without_end_are_refused(secured, name):
    """OpenSSL would read on, and nobody else be served, as long as they come (RFC 8446, 4.6.3)."""
    before = secured.ended(f"mqtt:{name}", "tls_error") if name != "https" else 0
    with socket.create_connection(("127.0.0.1", getattr(secured, name))) as sock:
        client = OpenSSLClient(sock)
        assert client.connects()
        assert not all(client.changes_keys() for _ in range(20_000))
    if name != "https":
        wait_until(lambda: secured.ended(f"mqtt:{name}", "tls_error") == before + 1)


@pytest.mark.parametrize("name", ["ssl", "https"])
@pytest.mark.parametrize(("groups", "accepted"), [(b"ffdhe8192", False), (b"ffdhe2048", False), (b"P-256", True)])
def test_a_handshake_cannot_be_made_expensive(secured, name, groups, accepted):
    """The largest finite field takes the server 140 ms, and a client that sends the same key each time nothing."""
    with socket.create_connection(("127.0.0.1", getattr(secured, name))) as sock:
        assert OpenSSLClient(sock, groups).connects() is accepted


def test_http_where_tls_is_spoken(secured):
    before = secured.ended("https:management", "handshake_failed")
    with socket.create_connection(("127.0.0.1", secured.https), timeout=15) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in to_the_end(sock)
    wait_until(lambda: secured.ended("https:management", "handshake_failed") == before + 1)


def test_browsers_are_told(secured):
    url = f"{secured.broker.base_url}/api/v3/nodes/"
    answer = requests.get(url, headers={"Origin": "https://console.example.org"}, timeout=10)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://console.example.org"
    stranger = requests.get(url, headers={"Origin": "https://evil.example.org"}, timeout=10)
    assert "Access-Control-Allow-Origin" not in stranger.headers
    asked = {"Origin": "https://console.example.org", "Access-Control-Request-Method": "PUT"}
    preflight = requests.options(url, headers=asked, timeout=10)
    allowed = preflight.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"Authorization", "Content-Type", "If-None-Match", "X-API-Style"} == set(allowed)
    assert preflight.headers["Access-Control-Expose-Headers"] == "ETag"


def test_a_new_certificate_is_served_and_nobody_is_disconnected(secured):
    with secured.tls() as kept:
        kept.sendall(CONNECT)
        assert kept.recv(4) == CONNECT_OK
        before = kept.getpeercert(binary_form=True)
        secured.certificates.issue_server()

        def served() -> bytes | None:
            with secured.tls() as fresh:
                return fresh.getpeercert(binary_form=True)

        wait_until(lambda: served() != before, 20)
        kept.sendall(PINGREQ)
        assert kept.recv(2) == PINGRESP


def test_development_keys_are_private(start_broker):
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}"})
    for name in ("key.pem", "cert.pem"):
        assert os.stat(broker.data_dir / "certs" / name).st_mode & 0o777 == 0o600
    assert "No certificate is configured" in broker.stderr


def test_a_proxy_names_the_client(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__PROXY_PROTOCOL": "on"})
    v1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 1883\r\n"
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + b"\x12\x67\x07\x5b"
    v2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + addresses
    for header, address in ((v1, "203.0.113.7"), (v2, "2001:db8::7")):
        with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
            for at in range(0, len(header), 3):
                sock.sendall(header[at : at + 3])
            sock.sendall(CONNECT)
            assert read(sock, 4) == CONNECT_OK
            (row,) = broker.api("GET", "/connections/test").json()
            assert (row["ipaddress"], row["port"]) == (address, 4711)
    for line in (b"", b"PROXY TCP4 2001:db8::7 ::1 4711 1883\r\n", b"PROXY TCP4 203.0.113.7 nobody 4711 1883\r\n",
                 b"PROXY TCP4 203.0.113.7 127.0.0.1 47_11 1883\r\n", b"PROXY TCP4 203.0.113.7 127.0.0.1 70000 1883\r\n",
                 v2[:13] + b"\x21\x00\x03abc", v2.replace(b"\x21\x21", b"\x11\x21")):
        with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
            sock.sendall(line + CONNECT)
            assert not to_the_end(sock)


def test_only_trusted_proxies_are_listened_to(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__PROXY_PROTOCOL": "on",
                           "EMQX_LISTENER__TCP__EXTERNAL__PROXY_TRUSTED": "192.0.2.0/24"})
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
        assert not to_the_end(sock)
    assert shutdown_count(broker, broker.mqtt_port) == {"proxy_untrusted": 1}
