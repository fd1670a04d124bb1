"""Liveness, readiness and Prometheus metrics, as probes and scrapers see them."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.paho import Client


def get(broker: BrokerProcess, path: str, **options: object) -> requests.Response:
    return requests.get(f"{broker.base_url}{path}", timeout=10, **options)  # type: ignore[arg-type]


def samples(broker: BrokerProcess) -> dict[tuple[str, ...], float]:
    """Values by name and label values."""
    families = text_string_to_metric_families(get(broker, "/metrics").text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_serving_node_is_live_and_ready(broker: BrokerProcess, path: str) -> None:
    answer = get(broker, path)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert requests.head(f"{broker.base_url}{path}", timeout=10).status_code == 200
    assert requests.post(f"{broker.base_url}{path}", timeout=10).status_code == 404


def test_metrics_follow_what_clients_do(broker: BrokerProcess) -> None:
    before = samples(broker)
    client = Client(broker.mqtt_port, "counted")
    try:
        client.subscribe("counted/#", 1)
        client.paho.publish("counted/a", "x", qos=1).wait_for_publish(10)
        wait_until(lambda: client.received, 10, "the message")
        now = samples(broker)
        moved = {key: now[key] - before[key] for key in now if key in before and now[key] != before[key]}
        assert moved["emqx_received_packets_by_type_total", "connect"] == 1
        assert moved["emqx_received_packets_by_type_total", "publish"] == 1
        assert moved["emqx_sent_packets_by_type_total", "suback"] == 1
        assert moved["emqx_received_messages_total", "1"] == 1
        assert moved["emqx_sent_messages_total", "1"] == 1
        assert moved["emqx_connections",] == 1
        assert moved["emqx_subscriptions",] == 1
        assert moved["emqx_listener_connections", "mqtt:tcp", "external"] == 1
        assert moved["emqx_received_bytes_total",] > 0
        client.paho.publish("nobody/listens", "x", qos=1).wait_for_publish(10)
        assert samples(broker)["emqx_dropped_messages_total", "no_subscriber"] - before[
            "emqx_dropped_messages_total", "no_subscriber"] == 1
    finally:
        client.close()


def test_metrics_agree_with_the_rest_metrics(broker: BrokerProcess) -> None:
    shown, counted = samples(broker), broker.api("GET", "metrics").json()[0]["metrics"]
    assert shown["emqx_received_packets_total",] == counted["packets/received"]
    assert shown["emqx_sent_packets_by_type_total", "connack"] == counted["packets/connack"]


def test_metrics_have_every_counter_of_the_rest_metrics(broker: BrokerProcess) -> None:
    """Those beyond the documented ones included: delayed/refused was not among them."""
    path, shown = "nodes/emqx@127.0.0.1/metrics", samples(broker)
    documented = broker.api("GET", path).json()
    for name in broker.api("GET", f"{path}?_fields=extended").json().keys() - documented.keys():
        kind, _, reason = name.partition("/")
        assert (
            ("emqx_dropped_messages_total", reason) if kind == "dropped" else (f"emqx_{name.replace('/', '_')}_total",)
        ) in shown


def test_metrics_show_what_waits_for_its_time(broker: BrokerProcess) -> None:
    before = samples(broker)
    message = {"topic": "$delayed/900/counted", "payload": "x" * 100}
    assert broker.api("POST", "mqtt/publish", json=message).json() == {"code": 0}
    now = samples(broker)
    assert now["emqx_delayed_messages",] - before["emqx_delayed_messages",] == 1
    assert now["emqx_delayed_bytes",] - before["emqx_delayed_bytes",] >= 100
    (row,) = broker.api("GET", "delayed?topic=counted").json()["items"]
    assert broker.api("DELETE", f"delayed/{row['id']}").json() == "ok"
    assert samples(broker)["emqx_delayed_messages",] == before["emqx_delayed_messages",]


def test_counters_end_in_total_and_have_few_labels(broker: BrokerProcess) -> None:
    answer = get(broker, "/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        assert family.name.startswith(("emqx_", "process_"))
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
def test_promtool_has_nothing_to_say(broker: BrokerProcess) -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=get(broker, "/metrics").content, capture_output=True, timeout=30
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_metrics_are_for_this_machine_only(broker: BrokerProcess) -> None:
    assert get(broker, "/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 404


def test_metrics_from_anywhere_with_credentials(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker(
        {"EMQX_MANAGEMENT__METRICS__AUTH": "on", "EMQX_MANAGEMENT__METRICS__FROM": "anywhere"}
    )
    assert get(broker, "/metrics").status_code == 401
    assert get(broker, "/metrics", auth=("tester", "wrong")).status_code == 401
    assert get(broker, "/metrics", auth=APP, headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 200
    assert get(broker, "/health/ready").status_code == 200


def test_a_draining_node_is_not_ready(start_broker: Callable[..., BrokerProcess]) -> None:
    """TERM waits for open HTTP requests: over a connection that is open, readiness is gone before the process is."""
    broker = start_broker()
    with socket.create_connection(("127.0.0.1", broker.api_port), 10) as probe:
        # A request that is being sent keeps the worker until its grace time is over.
        probe.sendall(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n")
        wait_until(lambda: get(broker, "/health/ready").status_code == 200, 10)
        broker.running.terminate()
        wait_until(lambda: "mqtt" not in listening(broker), 10, "the end of the MQTT listener")
        probe.sendall(b"\r\n")
        assert probe.recv(4096).startswith(b"HTTP/1.1 503 ")
    broker.wait()


def listening(broker: BrokerProcess) -> str:
    try:
        socket.create_connection(("127.0.0.1", broker.mqtt_port), 1).close()
    except OSError:
        return ""
    return "mqtt"
