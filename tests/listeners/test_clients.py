"""Independent clients over every listener."""

from __future__ import annotations

import queue
import subprocess

import paho.mqtt.client as paho
import pytest
import requests

from tests.broker_process import wait_until
from tests.listeners.secured import Secured

SEVEN = ["mqtt:ssl", "mqtt:tcp", "mqtt:tcp", "http:dashboard", "http:management", "https:management"]


@pytest.fixture(params=["tcp", "ssl", "ws", "wss"])
def client(request: pytest.FixtureRequest, secured: Secured):
    """paho, connected and subscribed by the listener of that name."""
    web = request.param in ("ws", "wss")
    made = paho.Client(paho.CallbackAPIVersion.VERSION2, transport="websockets" if web else "tcp")
    if request.param in ("ssl", "wss"):
        made.tls_set(secured.certificates.ca, secured.certificates.client, secured.certificates.client)
    made.inbox = queue.Queue()
    ready = queue.Queue()
    made.on_connect = lambda *_: made.subscribe(f"over/{request.param}/#", 2)
    made.on_subscribe = lambda *_: ready.put(True)
    made.on_message = lambda _client, _data, message: made.inbox.put((message.topic, message.payload))
    made.connect("127.0.0.1", secured.broker.mqtt_port if request.param == "tcp" else getattr(secured, request.param))
    made.loop_start()
    ready.get(timeout=10)
    yield made, request.param
    made.disconnect()
    made.loop_stop()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 16_384, 65_535, 65_536, 700_000])
def test_messages_of_every_size_come_back(client, size):
    paho_client, name = client
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for qos in (0, 1, 2):
        paho_client.publish(f"over/{name}/{qos}", payload, qos)
    received = sorted(paho_client.inbox.get(timeout=20) for _ in range(3))
    assert received == [(f"over/{name}/{qos}", payload) for qos in (0, 1, 2)]


def test_many_small_messages_arrive_in_order(client):
    paho_client, name = client
    for number in range(500):
        paho_client.publish(f"over/{name}/n", str(number), 1)
    assert [paho_client.inbox.get(timeout=20)[1] for _ in range(500)] == [b"%d" % number for number in range(500)]


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
