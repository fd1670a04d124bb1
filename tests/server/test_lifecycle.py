"""Signals: what HUP, USR2, TTIN and TERM do to the listeners, the settings and open requests."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests

from emqx_mgmt.listeners.certificate import self_signed
from tests.broker_process import BrokerProcess, free_ports, has_ended, wait_until


class Connector(threading.Thread):
    """Connects to the MQTT port over and over, and counts what came of it."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.connected = 0
        self.failures: list[OSError] = []
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.005):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                self.connected += 1
            except OSError as error:
                self.failures.append(error)

    def __enter__(self) -> Connector:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.join()


class Requester(Connector):
    """Sends HTTP requests, each over a connection of its own."""

    def run(self) -> None:
        while not self.done.wait(0.005):
            try:
                assert requests.get(f"http://127.0.0.1:{self.port}/status", timeout=20).ok
                self.connected += 1
            except OSError as error:
                self.failures.append(error)


@pytest.fixture
def configured(start_broker, tmp_path: Path) -> tuple[BrokerProcess, Path]:
    path = tmp_path / "emqx.conf"
    path.write_text("node.name = before@host\n")
    return start_broker({"EMQX_CONFIG": str(path)}), path


def new_worker(broker: BrokerProcess, old: psutil.Process) -> None:
    wait_until(lambda: has_ended(old), 20, "the old worker's end")
    wait_until(broker.is_ready, 10, "the new worker")


def test_a_request_whose_connection_was_accepted_before_hup_is_answered(start_broker):
    """Its TLS handshake comes after the worker has closed its listening sockets."""
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_MANAGEMENT__LISTENER__HTTPS": f"127.0.0.1:{port}"})
    worker = broker.worker
    with (socket.create_connection(("127.0.0.1", port), 20) as accepted,
          socket.create_connection(("127.0.0.1", broker.mqtt_port), 20) as client):
        client.sendall(bytes.fromhex("100c 0004 4d515454 04 02 0000 0000"))
        assert client.recv(4) == b"\x20\2\0\0"
        wait_until(lambda: listener(broker, "https:management", port)["current_conns"] == 1, 10)
        broker.signal(signal.SIGHUP)
        assert client.recv(1) == b""    # the worker has got TERM
        secured = ssl._create_unverified_context().wrap_socket(accepted)
        secured.sendall(b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert secured.recv(12) == b"HTTP/1.1 200"
        secured.close()
    new_worker(broker, worker)


def test_hup_replaces_the_worker_and_refuses_no_connection(start_broker):
    broker = start_broker()
    old = broker.worker
    with Connector(broker.mqtt_port) as connector, Requester(broker.api_port) as requester:
        wait_until(lambda: connector.connected > 20)
        broker.signal(signal.SIGHUP)
        new_worker(broker, old)
        before = connector.connected
        wait_until(lambda: connector.connected > before + 20)
    assert (connector.failures, requester.failures) == ([], [])
    assert broker.worker.pid != old.pid
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


CONNECT_3, CONNECT_5 = b"\x10\x0c\0\4MQTT\4\2\0\0\0\0", b"\x10\x0d\0\4MQTT\5\2\0\0\0\0\0"


def received(sock: socket.socket) -> bytes:
    """All until the other side closes."""
    with sock.makefile("rb") as stream:
        return stream.read()


def test_hup_answers_who_was_accepted(start_broker):
    """A CONNECT that comes when the worker is on its way out is served, and then sent away like the others."""
    broker = start_broker()
    old, socks = broker.worker, []
    for packet in CONNECT_5, CONNECT_3, CONNECT_5:
        socks.append(socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10))
        if len(socks) == 1:
            socks[0].sendall(packet)
            assert socks[0].recv(4)[0] == 0x20
    wait_until(lambda: listener(broker, "mqtt:tcp", broker.mqtt_port)["current_conns"] == 3)
    broker.signal(signal.SIGHUP)
    while b"\xe0\x01\x8b" not in socks[0].recv(100):
        pass    # what is left of the CONNACK
    socks[1].sendall(CONNECT_3)
    socks[2].sendall(CONNECT_5)
    assert received(socks[1]) == b"\x20\2\0\0"
    answer = received(socks[2])
    assert (answer[0], answer[3], answer[-3:]) == (0x20, 0, b"\xe0\x01\x8b")
    new_worker(broker, old)
    for sock in socks:
        sock.close()


class Greeter(Connector):
    """Sends CONNECT, and fails when the CONNACK does not accept it."""

    def run(self) -> None:
        while not self.done.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
                    sock.sendall(CONNECT_3)
                    assert sock.recv(4) == b"\x20\2\0\0", "closed without a CONNACK, or refused"
                self.connected += 1
            except (OSError, AssertionError) as error:
                self.failures.append(error)


def test_no_connection_ends_without_a_connack(start_broker):
    broker = start_broker()
    with Greeter(broker.mqtt_port) as one, Greeter(broker.mqtt_port) as two:
        for _ in range(int(os.environ.get("HUP_ROUNDS", "3"))):
            old, before = broker.worker, one.connected
            wait_until(lambda before=before: one.connected > before + 200)
            broker.signal(signal.SIGHUP)
            new_worker(broker, old)
    assert one.failures + two.failures == []


def test_hup_reads_the_settings_again(configured):
    broker, path = configured
    assert "Node before@host" in broker.status().text
    path.write_text("node.name = after@host\n")
    broker.signal(signal.SIGHUP)
    wait_until(lambda: "Node after@host" in broker.status().text, 20)


def test_hup_changes_what_a_listener_allows(configured):
    broker, path = configured
    path.write_text("listener.tcp.external.max_connections = 7\n")
    broker.signal(signal.SIGHUP)
    wait_until(lambda: listener(broker, "mqtt:tcp", broker.mqtt_port)["max_conns"] == 7, 20)


def test_hup_changes_what_http_allows(configured):
    broker, path = configured
    assert requests.get(f"{broker.base_url}/status", headers={"X-Long": "x" * 2000}, timeout=10).ok
    path.write_text("management.max_header_size = 1KB\n")
    broker.signal(signal.SIGHUP)
    wait_until(lambda: requests.get(f"{broker.base_url}/status", timeout=10, headers={
        "X-Long": "x" * 2000, "Connection": "close"}).status_code == 431, 20)


def listener(broker: BrokerProcess, protocol: str, port: int) -> dict:
    """A row of the listeners resource, asked for over a connection of its own."""
    (node,) = broker.api("GET", "/listeners/", headers={"Connection": "close"}).json()
    listen_on = f"127.0.0.1:{port}"
    return next(row for row in node["listeners"] if (row["protocol"], row["listen_on"]) == (protocol, listen_on))


def test_hup_with_bad_settings_keeps_the_old_ones_and_says_so(configured):
    broker, path = configured
    old = broker.worker
    path.write_text("node.name = after@host\nnode.nome = typing error\n")
    broker.signal(signal.SIGHUP)
    wait_until(lambda: "emqx.conf:2: unknown key node.nome. The settings from before stay in effect" in broker.stderr)
    goes_on(broker, old)
    assert "Node before@host" in broker.status().text


def goes_on(broker: BrokerProcess, worker: psutil.Process) -> None:
    """The reload was refused: the next signal is handled, and the worker is the same."""
    broker.signal(signal.SIGTTIN)
    wait_until(lambda: "the number of workers stays 1" in broker.stderr)
    assert broker.worker == worker


@pytest.mark.parametrize("what", ["a certificate that is gone", "rules in a FIFO", "rules that end in the middle",
                                  "rules without end"])
def test_hup_that_cannot_be_done_leaves_the_worker_running(start_broker, tmp_path, what):
    """Whatever keeps the next worker from starting is found before this one is told to stop."""
    path, rules, (port,) = tmp_path / "emqx.conf", tmp_path / "acl.conf", free_ports(1)
    certificate, key = self_signed(["localhost"])[::-1]
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    rules.write_text("{allow, all}.\n")
    path.write_text(f"acl_file = {rules}\nlistener.ssl.tls = 127.0.0.1:{port}\n"
                    f"listener.ssl.tls.certfile = {tmp_path}/cert.pem\nlistener.ssl.tls.keyfile = {tmp_path}/key.pem\n")
    broker = start_broker({"EMQX_CONFIG": str(path)})
    worker = broker.worker
    if what == "a certificate that is gone":
        (tmp_path / "cert.pem").unlink()
        reason = "cert.pem: No such file or directory"
    elif what == "rules in a FIFO":
        rules.unlink()
        os.mkfifo(rules)
        reason = "is not a regular file"
    elif what == "rules that end in the middle":
        rules.write_text("{allow, all")
        reason = "acl.conf"
    else:
        rules.write_text("{" * 100_000)
        reason = "nested too deeply"
    broker.signal(signal.SIGHUP)
    wait_until(lambda: "the worker goes on" in broker.stderr)
    assert reason in broker.stderr
    goes_on(broker, worker)
    assert refuses(broker.mqtt_port) is False


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.3, 0.8])
def test_hup_twice_within_a_second(start_broker, gap):
    """A worker that is told to stop while it starts ends quietly."""
    broker = start_broker()
    old = broker.worker
    for _ in range(3):
        broker.signal(signal.SIGHUP)
        time.sleep(gap)
    new_worker(broker, old)
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0
    assert "Traceback" not in broker.stderr, broker.stderr
    assert "failed to boot" not in broker.stderr


def takes(pid: int, number: int) -> bool:
    """Whether the signal is caught or ignored, as the kernel says."""
    masks = re.findall(r"^Sig(?:Ign|Cgt):\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


def test_hup_during_the_first_start(start_broker):
    """From the moment on at which the process takes the signals at all."""
    broker = start_broker(ready=False)
    wait_until(lambda: takes(broker.running.pid, signal.SIGUSR1), 20)
    while "Listening: http:management" not in broker.stderr:
        broker.signal(signal.SIGHUP)
        broker.signal(signal.SIGUSR1)
        time.sleep(0.02)
    for _ in range(4):
        broker.signal(signal.SIGHUP)
        broker.signal(signal.SIGUSR1)
        time.sleep(0.1)
    wait_until(broker.is_ready, 30)
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def test_term_during_the_first_start(start_broker):
    broker = start_broker(ready=False)
    wait_until(lambda: broker.running.poll() is None and psutil.Process(broker.running.pid).children(), 20)
    broker.signal(signal.SIGTERM)
    assert broker.wait() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def test_hup_does_not_move_listeners(configured):
    broker, path = configured
    path.write_text("listener.tcp.another = 127.0.0.1:1\n")
    broker.signal(signal.SIGHUP)
    wait_until(lambda: "Listener addresses changed; that takes effect at the next start." in broker.stderr)
    assert broker.status().ok


def test_usr2_hands_every_socket_and_the_data_directory_to_a_new_master(start_broker):
    broker = start_broker()
    old = broker.worker
    with Connector(broker.mqtt_port) as connector:
        broker.signal(signal.SIGUSR2)
        masters = wait_until(
            lambda: [child for child in psutil.Process(broker.running.pid).children()
                     if child != old and child.children()], 20)
        wait_until(lambda: broker.stderr.count("Listening: http:management") == 2)
        broker.signal(signal.SIGTERM)
        assert broker.wait() == 0
        new_worker(broker_after(broker), old)
        before = connector.connected
        wait_until(lambda: connector.connected > before + 20)
    assert connector.failures == []
    (master,) = masters
    master.terminate()
    wait_until(lambda: has_ended(master), 20)
    assert "Traceback" not in broker.stderr, broker.stderr


def broker_after(broker: BrokerProcess) -> BrokerProcess:
    """The same addresses, whose first master has ended."""
    broker.is_ready = lambda: broker.status().ok  # type: ignore[method-assign]
    return broker


def test_ttin_does_not_add_a_worker(start_broker):
    broker = start_broker()
    broker.signal(signal.SIGTTIN)
    wait_until(lambda: "the number of workers stays 1" in broker.stderr)
    assert len(psutil.Process(broker.running.pid).children()) == 1


def test_a_killed_worker_is_replaced(start_broker):
    broker = start_broker()
    old = broker.worker
    old.kill()
    new_worker(broker, old)
    assert broker.worker.pid != old.pid


def test_the_worker_ends_when_the_master_is_killed(start_broker):
    broker = start_broker()
    worker = broker.worker
    os.kill(broker.running.pid, signal.SIGKILL)
    broker.wait()
    wait_until(lambda: has_ended(worker), 20)


def test_term_refuses_mqtt_at_once_while_a_request_is_open(start_broker):
    broker = start_broker()
    with socket.create_connection(("127.0.0.1", broker.api_port)) as half_sent:
        half_sent.sendall(b"GET /status HTTP/1.1\r\n")
        # This connection, and the one that looks.
        wait_until(lambda: listener(broker, "http:management", broker.api_port)["current_conns"] == 2)
        broker.signal(signal.SIGTERM)
        wait_until(lambda: refuses(broker.mqtt_port), 3, "the end of the MQTT listener")
        assert broker.running.poll() is None
        half_sent.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        assert half_sent.recv(4096).startswith(b"HTTP/1.1 200")
    assert broker.wait() == 0


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except (ConnectionRefusedError, ConnectionResetError):
        # Reset: the listener was closed while the connection waited to be accepted.
        return True
    return False


def test_stderr_says_where_it_listens(broker):
    lines = re.findall(r"Listening: (\S+)(?: \w+)? on (\S+)", broker.stderr)
    assert lines == [
        ("mqtt:tcp", f"127.0.0.1:{port}") for port in sorted([broker.mqtt_port, broker.internal_port])
    ] + [
        ("http:dashboard", f"127.0.0.1:{broker.dash_port}"),
        ("http:management", f"127.0.0.1:{broker.api_port}"),
    ]
