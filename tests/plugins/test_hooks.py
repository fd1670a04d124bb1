"""What a third party's plugin may do in hooks (behaviour, 19): wait for a network, hear of each message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import paho.mqtt.client as paho
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import load, unload

REFUSED = 0x87


class Server(ThreadingHTTPServer):
    """Says yes to those whose name begins with `good`; answers `slow` ones when `answer_slow` is set."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answer_slow, self.asked_slow = threading.Event(), threading.Event()


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "slow" in asked.get("clientid", ""):
            self.server.asked_slow.set()
            self.server.answer_slow.wait(30)
        allowed = asked.get("topic", asked.get("clientid", "")).startswith("good")
        self.send_response(200 if allowed else 403)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.answer_slow.set()
    server.shutdown()
    server.server_close()


def test_a_hook_that_waits_for_a_server_holds_up_its_client_alone(start_with_plugins, server: Server):
    broker = start_with_plugins({"EMQX_TEST__HTTP__AUTH_REQ": f"http://127.0.0.1:{server.server_port}/",
                                 "EMQX_PLUGINS__HOOK_DEADLINE": "20s"})
    load(broker, "test_http_auth")
    with Client(broker.mqtt_port, "bad") as client:
        assert client.code == REFUSED
    with Client(broker.mqtt_port, "good") as client:
        assert client.subscribe("bad/#") == 0x80
        assert client.subscribe("good/#") == 0
        codes: list[int | None] = []

        def connect() -> None:
            with Client(broker.mqtt_port, "good-slow") as slow:
                codes.append(slow.code)

        slow = threading.Thread(target=connect)
        slow.start()
        assert server.asked_slow.wait(10)
        for number in range(20):  # the others go on, decisions of the same plugin among them
            client.publish(f"good/{number}", b"x")
            assert client.receive().topic == f"good/{number}"
        assert not codes
        server.answer_slow.set()
        slow.join(15)
    assert codes == [0]
    unload(broker, "test_http_auth")
    with Client(broker.mqtt_port, "bad") as client:
        assert client.code == 0


def heard(broker: BrokerProcess, count: int) -> list[list[str | None]]:
    """What the witness heard, once that is `count` events; forgets it."""
    def enough() -> list[list[str | None]]:
        found: list[list[str | None]] = broker.api("GET", "heard").json()
        return found if len(found) >= count else []

    found = wait_until(enough, 10, f"{count} events")
    broker.api("DELETE", "heard")
    return list(found)


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5])
def test_message_delivered_dropped_and_acked(start_with_plugins, version: int):
    broker = start_with_plugins({"EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "2"})
    load(broker, "test_witness")
    with Client(broker.mqtt_port, "sub", version=version) as sub, Client(broker.mqtt_port, "pub") as pub:
        pub.publish("nowhere", b"0")
        assert heard(broker, 1) == [["dropped: no_subscribers", None, "nowhere", "0"]]
        sub.subscribe("a/#", 2)
        for number in range(100):  # in one write, so that the broker sees runs of them
            pub.paho.publish("a/0", b"%d" % number, 0)
        assert heard(broker, 100) == [["delivered", "sub", "a/0", str(number)] for number in range(100)]
        for qos in (1, 2):
            pub.publish("a/q", b"%d" % qos, qos)
            assert sorted(heard(broker, 2)) == [[what, "sub", "a/q", str(qos)] for what in ("acked", "delivered")]
        pub.publish("a/large", b"x" * 100_000, 0)
        assert heard(broker, 1) == [["delivered", "sub", "a/large", "x" * 20]]
    absent_session(broker)
    with Client(broker.mqtt_port, "pub") as pub:
        for number in range(4):
            pub.publish("away/t", b"%d" % number)
        assert heard(broker, 2) == [["dropped: queue_full", "away", None, None]] * 2  # only on disk
        pub.subscribe("heard/#")
        pub.publish("nowhere", b"again")  # a handler may publish
        assert pub.receive().topic == "heard/dropped: no_subscribers"
    unload(broker, "test_witness")
    with Client(broker.mqtt_port, "pub") as pub:
        pub.publish("nowhere", b"unheard")
    load(broker, "test_witness")
    assert broker.api("GET", "heard").json() == []


def absent_session(broker: BrokerProcess) -> None:
    client = Client(broker.mqtt_port, "away", clean=False)
    client.subscribe("away/#", 1)
    client.close()
    wait_until(lambda: not broker.api("GET", "connections/away").json(), 10)


def test_a_packet_too_large_for_its_subscriber_is_told_as_dropped(start_with_plugins):
    """MQTT 5.0 [MQTT-3.1.2-24], [MQTT-3.1.2-25]."""
    broker = start_with_plugins()
    load(broker, "test_witness")
    properties = paho.Properties(paho.PacketTypes.CONNECT)
    properties.MaximumPacketSize = 100
    with Client(broker.mqtt_port, "small", version=paho.MQTTv5, properties=properties) as small, \
            Client(broker.mqtt_port, "pub") as pub:
        small.subscribe("t", 1)
        for qos in (0, 1):
            pub.publish("t", b"%d" % qos * 200, qos)
            assert heard(broker, 1) == [["dropped: too_large", "small", "t", str(qos) * 20]]
