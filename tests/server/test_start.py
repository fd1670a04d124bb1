"""Starting: what ends the start, with which sentence and exit code, and what wins over what."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from emqx_mgmt.settings import Endpoint, load
from tests.broker_process import free_ports, wait_until

GUNICORN = str(Path(sys.executable).with_name("gunicorn"))


def refused(broker, code: int) -> str:
    """The one sentence that a start which must fail leaves, after checking its exit code."""
    assert broker.wait() == code, broker.stderr
    lines = broker.stderr.strip().splitlines()
    assert len(lines) == 1, broker.stderr
    return lines[0]


def config(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "emqx.conf"
    path.write_text(text)
    return {"EMQX_CONFIG": str(path)}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# a comment\nlistener.tcp.a.speed = 1\n", r"emqx\.conf:2: unknown key listener\.tcp\.a\.speed$"),
        ("mqtt.max_packet_size = big\n", r"emqx\.conf:1: mqtt\.max_packet_size \('big'\) must be a size such as"),
        ("node.name\n", r"emqx\.conf:1: expected key = value$"),
        ("zone.external.max_inflight = -1", r"emqx\.conf:1: zone\.external\.max_inflight \('-1'\) must be an integer"),
    ],
)
def test_a_bad_file_ends_the_start_with_file_and_line(start_broker, tmp_path, text, sentence):
    assert re.search(sentence, refused(start_broker(config(tmp_path, text), ready=False), os.EX_CONFIG))


def test_a_missing_file_that_was_named_ends_the_start(start_broker, tmp_path):
    broker = start_broker({"EMQX_CONFIG": str(tmp_path / "none.conf")}, ready=False)
    assert refused(broker, os.EX_CONFIG).endswith("none.conf: cannot be read: No such file or directory")


def test_a_bad_variable_ends_the_start_with_its_name(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL": "127.0.0.1:99999"}, ready=False)
    assert refused(broker, os.EX_CONFIG).startswith("EMQX_LISTENER__TCP__EXTERNAL: listener.tcp.external")


def test_a_bad_secret_is_not_repeated(start_broker):
    broker = start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": "no-colon-hunter2"}, ready=False)
    assert "hunter2" not in refused(broker, os.EX_CONFIG)


@pytest.mark.parametrize("listener", ["LISTENER__TCP__EXTERNAL", "MANAGEMENT__LISTENER__HTTP"])
def test_a_port_in_use_ends_the_start(start_broker, listener):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = start_broker({f"EMQX_{listener}": f"127.0.0.1:{taken.getsockname()[1]}"}, ready=False)
        assert broker.wait() == os.EX_UNAVAILABLE
    assert "the port is in use" in broker.stderr.splitlines()[-1]
    assert "Listening" not in broker.stderr


def test_an_address_that_is_not_here_ends_the_start(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL": "192.0.2.1:1883"}, ready=False)
    assert refused(broker, os.EX_OSERR).startswith("Cannot start mqtt:tcp external on 192.0.2.1:1883: ")


def test_a_certificate_that_is_not_there_ends_the_start(start_broker):
    (port,) = free_ports(1)
    broker = start_broker({"EMQX_LISTENER__SSL__EXTERNAL": f"127.0.0.1:{port}",
                           "EMQX_LISTENER__SSL__EXTERNAL__CERTFILE": "/none.pem"}, ready=False)
    assert refused(broker, os.EX_CONFIG) == "TLS cannot be set up: /none.pem: No such file or directory"


def test_a_data_directory_belongs_to_one_broker(start_broker):
    first = start_broker()
    second = start_broker({"EMQX_NODE__DATA_DIR": str(first.data_dir)}, ready=False)
    assert re.fullmatch(
        rf"The data directory \S+ is in use by another broker \(process {first.running.pid}\)",
        refused(second, os.EX_UNAVAILABLE),
    )
    first.kill9()
    assert start_broker({"EMQX_NODE__DATA_DIR": str(first.data_dir)}).status().status_code == 200


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "2"], "One worker is one broker node"),
        (["--worker-class", "sync"], "own gevent worker"),
        (["--max-requests", "100"], "A worker that is recycled disconnects every client"),
        (["--bind", "127.0.0.1:9999"], "Addresses are settings"),
    ],
)
def test_gunicorn_options_that_break_the_node_are_refused(start_broker, options, sentence):
    broker = start_broker(ready=False, command=[GUNICORN, *options, "wsgi:app"])
    assert sentence in refused(broker, os.EX_CONFIG)


def test_a_listener_is_switched_off_by_0_and_off(start_broker):
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL": "off", "EMQX_LISTENER__TCP__INTERNAL": "0"})
    for port in (broker.mqtt_port, broker.internal_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_http_may_be_off(start_broker):
    broker = start_broker(
        {"EMQX_MANAGEMENT__LISTENER__HTTP": "off", "EMQX_DASHBOARD__LISTENER__HTTP": "off"}, ready=False
    )
    wait_until(lambda: is_served(broker.mqtt_port), 20)
    assert broker.stop() == 0


def is_served(port: int) -> bool:
    """Whether MQTT clients are answered: the master takes connections, and TERM ends it with a signal, before that."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(bytes.fromhex("100c 0004 4d515454 04 02 0000 0000"))
            return sock.recv(4)[:1] == b"\x20"
    except ConnectionError:
        return False


def test_a_bare_port_listens_on_all_addresses(start_broker):
    """As the default 1883 is: a client that asks for localhost may come by either family."""
    assert load({}, Path(os.devnull))["listener.tcp.external"] == Endpoint("", 1883)
    (port,) = free_ports(1)
    start_broker({"EMQX_LISTENER__TCP__EXTERNAL": str(port)})
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        socket.create_connection((host, port)).close()


def test_the_environment_wins_over_the_file(start_broker, tmp_path):
    broker = start_broker(
        config(tmp_path, "node.name = file@host\nlog.level = warning\n") | {"EMQX_NODE__NAME": "variable@host"}
    )
    assert "Node variable@host is started" in broker.status().text
    assert "Listening" not in broker.stderr


def test_an_unknown_variable_is_one_warning(start_broker):
    unknown = {"EMQX_PORT": "tcp://10.0.0.1:1883", "EMQX_SERVICE_HOST": "10.0.0.1"}
    broker = start_broker(unknown | {"EMQX_DASHBOARD__DEFAULT_USER__PASSWORD": "not the shipped one"})
    (warning,) = (line for line in broker.stderr.splitlines() if "WARNING" in line)
    assert warning.endswith("Unknown variables are ignored: EMQX_PORT, EMQX_SERVICE_HOST")


def test_the_shipped_password_is_told_at_every_start(start_broker):
    broker = start_broker()
    assert "Dashboard user admin still has the default password" in broker.stderr


def test_json_logs_are_one_object_a_line(start_broker):
    broker = start_broker({"EMQX_LOG__FORMAT": "json"})
    lines = broker.stderr.splitlines()
    assert lines
    for line in lines:
        assert json.loads(line)["level"] in ("info", "warning")


def test_a_json_log_has_what_an_event_is_about_as_members(start_broker):
    """From the first line to the last of a start, the new secret included; a client; a request by its number."""
    broker = start_broker({"EMQX_LOG__FORMAT": "json", "EMQX_MANAGEMENT__BOOTSTRAP_APP": ""})

    def events() -> dict[str, dict[str, str]]:
        return {line["event"]: line for line in map(json.loads, broker.stderr.splitlines()) if "event" in line}

    wait_until(lambda: "ready" in events())
    assert json.loads(broker.stderr.splitlines()[0])["event"] == "starting"
    assert "emqx-mgmt" in events()["starting"]["message"]
    assert "with the secret" in events()["application_created"]["message"]
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as sock:
        sock.sendall(bytes.fromhex("100f 0004 4d515454 04 02 0000 0003 61 00 62"))
        peer = "127.0.0.1:{1}".format(*sock.getsockname())
        wait_until(lambda: "connection_closed" in events() or "connect_refused" in events())
    about = events().get("connection_closed") or events()["connect_refused"]
    assert about["peer"] == peer
    answer = broker.api("GET", "brokers", auth=("nobody", "x"), headers={"X-Request-Id": "of-a-proxy"})
    assert answer.headers["X-Request-Id"] == "of-a-proxy"
    wait_until(lambda: "login_refused" in events())
    assert (events()["login_refused"]["request_id"], events()["login_refused"]["peer"]) == ("of-a-proxy", "127.0.0.1")
    made = {broker.api("GET", "brokers", auth=None).headers["X-Request-Id"] for _ in range(2)}
    assert len(made) == 2


def test_the_descriptor_limit_is_raised(broker):
    limits = Path(f"/proc/{broker.worker.pid}/limits").read_text()
    soft, hard = re.search(r"Max open files\s+(\d+)\s+(\d+)", limits).groups()
    assert soft == hard


def test_term_ends_it_with_0(start_broker):
    broker = start_broker()
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def test_int_ends_it_quickly_with_0(start_broker):
    broker = start_broker()
    broker.signal(signal.SIGINT)
    assert broker.wait(5) == 0
    assert "Traceback" not in broker.stderr, broker.stderr
