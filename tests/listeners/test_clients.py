"""Independent clients over every listener."""

from __future__ import annotations

import subprocess

import pytest
import requests

from tests.broker_process import wait_until
from tests.clients.paho import Client
from tests.listeners.secured import Secured

SEVEN = ["mqtt:ssl", "mqtt:tcp", "mqtt:tcp", "http:dashboard", "http:management", "https:management"]


@pytest.fixture(params=["tcp", "ssl", "ws", "wss"])
def client(request: pytest.FixtureRequest, secured: Secured):
    """Connected and subscribed by the listener of that name."""
    made = secured.certificates
    with Client(secured.broker.mqtt_port if request.param == "tcp" else getattr(secured, request.param),
                transport="websockets" if request.param in ("ws", "wss") else "tcp",
                tls=(made.ca, made.client, made.client) if request.param in ("ssl", "wss") else ()) as client:
        client.subscribe(f"over/{request.param}/#", 2)
        yield client, request.param


@pytest.mark.parametrize("size", [0, 1, 125, 126, 16_384, 65_535, 65_536, 700_000])
def test_messages_of_every_size_come_back(client, size):
    paho_client, name = client
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for qos in (0, 1, 2):
        paho_client.paho.publish(f"over/{name}/{qos}", payload, qos)
    received = sorted((message.topic, message.payload) for message in (paho_client.receive(20) for _ in range(3)))
    assert received == [(f"over/{name}/{qos}", payload) for qos in (0, 1, 2)]


def test_many_small_messages_arrive_in_order(client):
    paho_client, name = client
    for number in range(500):
        paho_client.paho.publish(f"over/{name}/n", str(number), 1)
    assert [paho_client.receive(20).payload for _ in range(500)] == [b"%d" % number for number in range(500)]


def test_mosquitto_clients_over_tls(secured):
    common = ["-h", "localhost", "-p", str(secured.ssl), "--cafile", secured.certificates.ca, "-t", "from/mosquitto"]
    reader = subprocess.Popen(["mosquitto_sub", *common, "-C", "1", "-W", "20", "-q", "1", "-i", "tls-reader"],
                              stdout=subprocess.PIPE)
    wait_until(lambda: secured.broker.api("GET", "/subscriptions/tls-reader").json(), 15)
    subprocess.run(["mosquitto_pub", *common, "-m", "hello", "-q", "1"], check=True, timeout=20)
    assert reader.communicate(timeout=20)[0] == b"hello\n"


def test_listeners_in_the_order_of_the_document(secured):
    (node,) = secured.broker.api("GET", "/listeners/").json()
    assert [row["protocol"] for row in node["listeners"]] == [*SEVEN, "mqtt:ws", "mqtt:wss"]


def test_the_subject_of_a_certificate_is_shown_and_gives_the_user_name(client, secured):
    _, name = client
    rows = secured.broker.api("GET", "/connections/").json()["items"]
    shown = [row["peercert"] for row in rows]
    if name in ("ssl", "wss"):
        assert any("CN=device-7" in subject for subject in shown)
        assert "device-7" in [row["username"] for row in rows]
    else:
        assert set(shown) == {"nossl"}


def test_https_serves_the_same_api(secured):
    answer = requests.get(f"https://localhost:{secured.https}/api/v3/nodes/", auth=("tester", "tester-secret"),
                          verify=secured.certificates.ca, timeout=10)
    assert answer.json()[0]["name"] == "emqx@127.0.0.1"
    assert requests.get(f"https://localhost:{secured.https}/api/v3/nodes/", verify=secured.certificates.ca,
                        timeout=10).status_code == 401
