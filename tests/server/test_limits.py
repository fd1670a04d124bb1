"""Limits of connections: what a listener allows, what the descriptors allow, what HTTP allows."""

from __future__ import annotations

import resource
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import requests

from tests.broker_process import BrokerProcess, wait_until
from tests.listeners.secured import CONNECT, CONNECT_OK, PINGREQ, PINGRESP

DESCRIPTORS = 400
UNDER_A_LIMIT = ["sh", "-c", f"ulimit -n {DESCRIPTORS}; exec {Path(sys.executable).with_name('gunicorn')} wsgi:app"]


def mqtt_rows(broker: BrokerProcess) -> dict[str, dict]:
    (node,) = broker.api("GET", "/listeners/").json()
    return {row["listen_on"]: row for row in node["listeners"] if row["protocol"] == "mqtt:tcp"}


def closed_by_peer(sock: socket.socket) -> bool:
    sock.settimeout(5)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_listener_takes_no_more_than_max_connections(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__MAX_CONNECTIONS": "3"})
    address = ("127.0.0.1", broker.mqtt_port)
    with ExitStack() as stack:
        kept = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]
        wait_until(lambda: mqtt_rows(broker)[f"127.0.0.1:{broker.mqtt_port}"]["current_conns"] == 3)
        assert closed_by_peer(stack.enter_context(socket.create_connection(address)))
        kept.pop().close()
        wait_until(lambda: mqtt_rows(broker)[f"127.0.0.1:{broker.mqtt_port}"]["current_conns"] == 2)
        stack.enter_context(socket.create_connection(address))
        wait_until(lambda: mqtt_rows(broker)[f"127.0.0.1:{broker.mqtt_port}"]["current_conns"] == 3)
        assert mqtt_rows(broker)[f"127.0.0.1:{broker.mqtt_port}"]["shutdown_count"]["max_connections"] == 1


def test_descriptors_are_kept_back_for_everything_but_mqtt(start_broker):
    """All listeners together take what the limit leaves; the API still answers."""
    broker = start_broker(command=UNDER_A_LIMIT)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(DESCRIPTORS // 2)
            for port in (broker.mqtt_port, broker.internal_port)
        ]
        assert closed_by_peer(connections[-1])
        counts = [row["current_conns"] for row in mqtt_rows(broker).values()]
        assert sum(counts) == DESCRIPTORS // 2
        assert all(counts)
    assert "Traceback" not in broker.stderr, broker.stderr


def test_without_descriptors_accepting_pauses_and_open_clients_go_on(start_broker):
    broker = start_broker()
    worker = broker.worker.pid
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=20) as kept:
        kept.sendall(CONNECT)
        assert kept.recv(4) == CONNECT_OK
        broker.api("GET", "/brokers/")  # opens the connection that the requests below go over
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, hard))
        with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=20) as waiting:
            waiting.sendall(CONNECT.replace(b"test", b"late"))
            wait_until(lambda: "out_of_descriptors" in broker.api("GET", "/alarms/present").text, 20)
            kept.sendall(PINGREQ)
            assert kept.recv(2) == PINGRESP
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
            assert waiting.recv(4) == CONNECT_OK
        wait_until(lambda: "out_of_descriptors" not in broker.api("GET", "/alarms/present").text, 20)
    assert mqtt_rows(broker)[f"127.0.0.1:{broker.mqtt_port}"]["shutdown_count"]["emfile"] >= 1


def test_http_headers_beyond_the_limit_are_refused(broker):
    answer = requests.get(f"{broker.base_url}/status", headers={"X-Long": "x" * 9000}, timeout=5)
    assert answer.status_code == 431
    assert requests.get(f"{broker.base_url}/status?{'x' * 500_000}", timeout=30).status_code == 414


def test_the_limits_of_http_requests_are_settings_and_counted(start_broker):
    broker = start_broker({"EMQX_MANAGEMENT__MAX_HEADERS": "20", "EMQX_MANAGEMENT__MAX_HEADER_SIZE": "1KB",
                           "EMQX_MANAGEMENT__MAX_BODY_SIZE": "1KB", "EMQX_MANAGEMENT__KEEPALIVE_TIMEOUT": "1s"})

    def status(**headers: str) -> int:
        return requests.get(f"{broker.base_url}/status", headers=headers, timeout=10).status_code

    assert status(X="x" * 900) == 200
    assert status(X="x" * 1100) == 431
    assert status(**{f"X{number}": "x" for number in range(20)}) == 431
    assert status(**{f"X{number}": "x" * 1000 for number in range(7)}) == 200
    assert status(**{f"X{number}": "x" * 1000 for number in range(9)}) == 431
    body = {"topic": "t", "payload": "x" * 2000}
    assert broker.api("POST", "/mqtt/publish", json=body, headers={"Connection": "close"}).status_code == 413
    with socket.create_connection(("127.0.0.1", broker.api_port), timeout=20) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\nGET /st")
        while sock.recv(4096):  # the second request never comes
            pass
    assert management(broker)["shutdown_count"] == {"header_too_large": 3, "body_too_large": 1}


def test_http_connections_beyond_max_clients_are_closed(start_broker):
    """Also where no listener is allowed more, whose connections the server could do with."""
    broker = start_broker({"EMQX_MANAGEMENT__LISTENER__HTTP__MAX_CLIENTS": "2",
                           "EMQX_DASHBOARD__LISTENER__HTTP__MAX_CLIENTS": "2"})
    address = ("127.0.0.1", broker.api_port)
    with socket.create_connection(address) as first, socket.create_connection(address) as second:
        for sock in (first, second):
            sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(address, timeout=5) as third:
            assert third.recv(1) == b""
    wait_until(lambda: answers(broker))
    assert management(broker)["shutdown_count"] == {"max_connections": 1}


def test_http_connections_of_one_address_are_limited(start_broker):
    """One client cannot keep the others out."""
    broker = start_broker({"EMQX_MANAGEMENT__LISTENER__HTTP__MAX_CLIENTS_PER_ADDRESS": "2"})
    with ExitStack() as stack:
        def connect(address: str) -> socket.socket:
            return stack.enter_context(
                socket.create_connection(("127.0.0.1", broker.api_port), timeout=5, source_address=(address, 0)))

        first, second = connect("127.0.0.2"), connect("127.0.0.2")
        for sock in (first, second):
            sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")
        assert closed_by_peer(connect("127.0.0.2"))
        assert management(broker)["shutdown_count"] == {"max_connections_per_address": 1}


def management(broker: BrokerProcess) -> dict:
    (node,) = broker.api("GET", "/listeners/").json()
    return next(row for row in node["listeners"] if row["protocol"] == "http:management")


def answers(broker: BrokerProcess) -> bool:
    try:
        return broker.status().ok
    except requests.ConnectionError:
        return False
