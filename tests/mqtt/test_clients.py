"""Clients that nobody here wrote: paho, gmqtt and mosquitto's, against the running server."""

from __future__ import annotations

import asyncio
import queue
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import gmqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import Raw

VERSIONS = [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5]
WITHIN = 20


class Paho:
    """A paho client with its network loop; messages in a queue."""

    def __init__(self, broker: BrokerProcess, client_id: str, version: int = paho.MQTTv311, clean: bool = True,
                 properties: Properties | None = None, will: tuple[str, bytes] | None = None) -> None:
        old = {"clean_session": clean} if version != paho.MQTTv5 else {}
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, **old)
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self.subscribed: queue.Queue[list[Any]] = queue.Queue()
        self.connected: queue.Queue[Any] = queue.Queue()
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_connect = lambda _client, _data, flags, reason, _properties: self.connected.put((flags, reason))
        self.client.on_subscribe = lambda _client, _data, _mid, codes, _properties: self.subscribed.put(codes)
        if will:
            self.client.will_set(*will, qos=1)
        new = {"clean_start": clean, "properties": properties} if version == paho.MQTTv5 else {}
        self.client.connect("127.0.0.1", broker.mqtt_port, keepalive=30, **new)
        self.client.loop_start()
        self.flags, self.reason = self.connected.get(timeout=WITHIN)
        assert self.reason == 0

    def subscribe(self, *args: Any, **kw: Any) -> list[Any]:
        self.client.subscribe(*args, **kw)
        return self.subscribed.get(timeout=WITHIN)

    def publish(self, topic: str, payload: bytes, qos: int = 0, **kw: Any) -> None:
        self.client.publish(topic, payload, qos, **kw).wait_for_publish(WITHIN)

    def message(self) -> paho.MQTTMessage:
        return self.messages.get(timeout=WITHIN)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self) -> None:
        """The socket is gone under the client, and it does not come back."""
        self.client.on_disconnect = None
        self.client.loop_stop()
        sock = self.client.socket()
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@pytest.fixture
def paho_client(broker: BrokerProcess) -> Iterator[Any]:
    opened: list[Paho] = []

    def connect(*args: Any, **kw: Any) -> Paho:
        opened.append(Paho(broker, *args, **kw))
        return opened[-1]

    yield connect
    for client in opened:
        client.stop()


@pytest.mark.parametrize("reader_version", VERSIONS)
@pytest.mark.parametrize("writer_version", VERSIONS)
def test_paho_of_every_version_to_every_version(paho_client, writer_version: int, reader_version: int):
    reader, writer = paho_client("paho-reader", reader_version), paho_client("paho-writer", writer_version)
    reader.subscribe("paho/+/t", 2)
    for qos in (0, 1, 2):
        writer.publish(f"paho/{qos}/t", b"payload %d" % qos, qos)
        message = reader.message()
        assert (message.topic, message.payload, message.qos) == (f"paho/{qos}/t", b"payload %d" % qos, qos)
        assert not message.retain


def test_paho_payloads_of_all_sizes(paho_client):
    reader, writer = paho_client("sizes-reader"), paho_client("sizes-writer")
    reader.subscribe("sizes", 2)
    for size in (0, 1, 127, 128, 16383, 16384, 70_000, 900_000):
        for qos in (0, 1, 2):
            payload = bytes(size)
            writer.publish("sizes", payload, qos)
            assert reader.message().payload == payload


def test_paho_session_and_offline_messages(paho_client, broker: BrokerProcess):
    reader = paho_client("kept-reader", clean=False)
    reader.subscribe([("kept/a", 1), ("kept/b", 2)])
    reader.stop()
    writer = paho_client("kept-writer")
    for number in range(20):
        writer.publish(f"kept/{'ab'[number % 2]}", b"%d" % number, 1 + number % 2)
    reader = paho_client("kept-reader", clean=False)
    assert reader.flags.session_present
    got = [reader.message() for _ in range(20)]
    for qos in (1, 2):  # paho hands QoS 2 messages on with PUBREL
        assert [int(message.payload) for message in got if message.qos == qos] == list(range(qos - 1, 20, 2))
    reader.stop()
    Paho(broker, "kept-reader", clean=True).stop()


def test_paho_mqtt5_request_and_response(paho_client):
    """Response topic, correlation data, user properties, content type, subscription identifiers, expiry."""
    server, client = paho_client("server", paho.MQTTv5), paho_client("client", paho.MQTTv5)
    identifier = Properties(PacketTypes.SUBSCRIBE)
    identifier.SubscriptionIdentifier = 42
    server.subscribe("requests", options=SubscribeOptions(qos=1), properties=identifier)
    client.subscribe("answers", options=SubscribeOptions(qos=1, noLocal=True))
    asking = Properties(PacketTypes.PUBLISH)
    asking.ResponseTopic = "answers"
    asking.CorrelationData = b"\x00\x01"
    asking.UserProperty = [("a", "1"), ("a", "2")]
    asking.ContentType = "text/plain"
    asking.PayloadFormatIndicator = 1
    asking.MessageExpiryInterval = 60
    client.publish("requests", b"question", 1, properties=asking)
    request = server.message().properties
    assert (request.ResponseTopic, request.CorrelationData) == ("answers", b"\x00\x01")
    assert request.UserProperty == [("a", "1"), ("a", "2")]
    assert request.ContentType == "text/plain"
    assert request.SubscriptionIdentifier == [42]
    assert request.MessageExpiryInterval in (59, 60)
    answering = Properties(PacketTypes.PUBLISH)
    answering.CorrelationData = request.CorrelationData
    server.publish(request.ResponseTopic, b"answer", 1, properties=answering)
    answer = client.message()
    assert (answer.payload, answer.properties.CorrelationData) == (b"answer", b"\x00\x01")


def test_paho_will(paho_client):
    reader = paho_client("will-reader")
    reader.subscribe("wills/#", 1)
    client = paho_client("will-client", will=("wills/client", b"gone"))
    client.break_off()
    message = reader.message()
    assert (message.topic, message.payload) == ("wills/client", b"gone")


@pytest.mark.parametrize("qos", [1, 2])
def test_paho_through_broken_connections(paho_client, broker: BrokerProcess, qos: int):
    """Both clients are kicked again and again while 300 messages go through: with QoS 2 each arrives once, with QoS 1
    at least once, in order."""
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 300
    reader = paho_client(f"shaken-reader-{qos}", paho.MQTTv5, clean=False, properties=lasting)
    reader.client.reconnect_delay_set(0.05, 0.1)
    reader.subscribe(f"shaken/{qos}", options=SubscribeOptions(qos=qos))
    writer = paho_client(f"shaken-writer-{qos}", clean=False)
    writer.client.reconnect_delay_set(0.05, 0.1)
    sent = [writer.client.publish(f"shaken/{qos}", b"%d" % number, qos) for number in range(300)]
    done = threading.Event()

    def shake() -> None:
        """Who is back is kicked: where two of its connections in turn end before CONNACK, paho sends messages again
        that it has sent PUBREL for."""
        while not done.wait(0.05):
            for client, name in (reader, "reader"), (writer, "writer"):
                broker.api("DELETE", f"connections/shaken-{name}-{qos}")
                client.connected.get(timeout=WITHIN)

    shaking = threading.Thread(target=shake)
    shaking.start()
    try:
        wait_until(lambda: sum(info.is_published() for info in sent) > 200, 40, "most of the messages")
    finally:
        done.set()
        shaking.join()
    got: list[int] = []
    while not got or got[-1] != 299:
        got.append(int(reader.message().payload))
    assert list(dict.fromkeys(got)) == list(range(300))
    assert qos == 1 or len(got) == 300


def test_gmqtt(broker: BrokerProcess):
    """gmqtt speaks MQTT 5 and 3.1.1 over asyncio; here with session expiry, receive maximum and topic alias maximum."""

    async def exchange() -> list[tuple[str, bytes, int]]:
        got: list[tuple[str, bytes, int]] = []
        everything = asyncio.Event()
        reader = gmqtt.Client("gmqtt-reader", session_expiry_interval=60, receive_maximum=5, topic_alias_maximum=10)
        ready = asyncio.Event()

        def on_message(_client: Any, topic: str, payload: bytes, qos: int, _properties: Any) -> int:
            got.append((topic, bytes(payload), qos))
            if len(got) == 60:
                everything.set()
            return 0

        reader.on_message = on_message
        reader.on_subscribe = lambda *_args: ready.set()
        await reader.connect("127.0.0.1", broker.mqtt_port, keepalive=20)
        reader.subscribe("gmqtt/#", qos=2)
        await asyncio.wait_for(ready.wait(), WITHIN)
        writer = gmqtt.Client("gmqtt-writer")
        await writer.connect("127.0.0.1", broker.mqtt_port, version=gmqtt.constants.MQTTv311)
        for number in range(60):
            writer.publish("gmqtt/with/a/long/topic", b"%d" % number, qos=1 + number % 2)
        await asyncio.wait_for(everything.wait(), WITHIN)
        await writer.disconnect()
        await reader.disconnect()
        return got

    got = asyncio.run(exchange())
    assert {topic for topic, _, _ in got} == {"gmqtt/with/a/long/topic"}
    for qos in (1, 2):
        assert [int(payload) for _, payload, its in got if its == qos] == list(range(qos - 1, 60, 2))


@pytest.mark.parametrize("version", ["31", "311", "5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_clients(broker: BrokerProcess, version: str, qos: str):
    common = ["-h", "127.0.0.1", "-p", str(broker.mqtt_port), "-V", f"mqttv{version}", "-q", qos]
    topic = f"mosquitto/{version}/{qos}"
    reader = subprocess.Popen(
        ["stdbuf", "-oL", "mosquitto_sub", *common, "-i", f"sub{version}{qos}", "-t", topic, "-C", "2", "-W", "30",
         "-d"], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    try:
        lines = iter(reader.stdout.readline, "")
        assert any("SUBACK" in line for line in lines)
        for text in ("first", "second"):
            subprocess.run(["mosquitto_pub", *common, "-t", topic, "-m", text], check=True, timeout=WITHIN)
        assert [line.strip() for line in lines if line.strip() in ("first", "second")] == ["first", "second"]
        assert reader.wait(WITHIN) == 0
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def test_mosquitto_rr(broker: BrokerProcess):
    """Request and response with MQTT 5."""
    server = Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)), 5).connect("rr-server")
    server.subscribe("rr/request", qos=1)
    asking = subprocess.Popen(
        ["mosquitto_rr", "-h", "127.0.0.1", "-p", str(broker.mqtt_port), "-V", "mqttv5", "-t", "rr/request",
         "-e", "rr/answer", "-m", "question", "-W", "30", "-q", "1"], stdout=subprocess.PIPE, text=True)
    request = server.message()
    properties = {name: value for name, value in request.props.items() if name == "correlation_data"}
    server.publish(request.props["response_topic"], b"answer", 1, **properties)
    out, _ = asking.communicate(timeout=WITHIN)
    assert out.strip() == "answer"
