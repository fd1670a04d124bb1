"""Clients that nobody here wrote: paho, gmqtt and mosquitto's, against the running server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gmqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.clients.raw import Raw

VERSIONS = [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5]
WITHIN = 20


@pytest.fixture
def paho_client(broker: BrokerProcess) -> Iterator[Callable[..., Client]]:
    """Clients that end with the test."""
    with ExitStack() as opened:
        yield lambda *args, **kw: opened.enter_context(Client(broker.mqtt_port, *args, **kw))


@pytest.mark.parametrize("reader_version", VERSIONS)
@pytest.mark.parametrize("writer_version", VERSIONS)
def test_paho_of_every_version_to_every_version(paho_client, writer_version: int, reader_version: int):
    reader, writer = (paho_client(name, version=version) for name, version in (
        ("paho-reader", reader_version), ("paho-writer", writer_version)))
    reader.subscribe("paho/+/t", 2)
    for qos in (0, 1, 2):
        writer.publish(f"paho/{qos}/t", b"payload %d" % qos, qos)
        message = reader.receive(WITHIN)
        assert (message.topic, message.payload, message.qos) == (f"paho/{qos}/t", b"payload %d" % qos, qos)
        assert not message.retain


def test_paho_payloads_of_all_sizes(paho_client):
    reader, writer = paho_client("sizes-reader"), paho_client("sizes-writer")
    reader.subscribe("sizes", 2)
    for size in (0, 1, 127, 128, 16383, 16384, 70_000, 900_000):
        for qos in (0, 1, 2):
            payload = bytes(size)
            writer.publish("sizes", payload, qos)
            assert reader.receive(WITHIN).payload == payload


def test_paho_session_and_offline_messages(paho_client, broker: BrokerProcess):
    reader = paho_client("kept-reader", clean=False)
    reader.subscribe([("kept/a", 1), ("kept/b", 2)])
    reader.close()
    writer = paho_client("kept-writer")
    for number in range(20):
        writer.publish(f"kept/{'ab'[number % 2]}", b"%d" % number, 1 + number % 2)
    reader = paho_client("kept-reader", clean=False)
    assert reader.flags.session_present
    got = [reader.receive(WITHIN) for _ in range(20)]
    for qos in (1, 2):  # paho hands QoS 2 messages on with PUBREL
        assert [int(message.payload) for message in got if message.qos == qos] == list(range(qos - 1, 20, 2))
    reader.close()
    paho_client("kept-reader")


def test_paho_mqtt5_request_and_response(paho_client):
    """Response topic, correlation data, user properties, content type, subscription identifiers, expiry."""
    server, client = (paho_client(name, version=paho.MQTTv5) for name in ("server", "client"))
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
    request = server.receive(WITHIN).properties
    assert (request.ResponseTopic, request.CorrelationData) == ("answers", b"\x00\x01")
    assert request.UserProperty == [("a", "1"), ("a", "2")]
    assert request.ContentType == "text/plain"
    assert request.SubscriptionIdentifier == [42]
    assert request.MessageExpiryInterval in (59, 60)
    answering = Properties(PacketTypes.PUBLISH)
    answering.CorrelationData = request.CorrelationData
    server.publish(request.ResponseTopic, b"answer", 1, properties=answering)
    answer = client.receive(WITHIN)
    assert (answer.payload, answer.properties.CorrelationData) == (b"answer", b"\x00\x01")


def test_paho_will(paho_client):
    reader = paho_client("will-reader")
    reader.subscribe("wills/#", 1)
    client = paho_client("will-client", will="wills/client")
    client.break_off()
    message = reader.receive(WITHIN)
    assert (message.topic, message.payload) == ("wills/client", b"gone")


@pytest.mark.parametrize("qos", [1, 2])
def test_paho_through_broken_connections(paho_client, broker: BrokerProcess, qos: int):
    """Both clients are kicked again and again while 300 messages go through: with QoS 2 each arrives once, with QoS 1
    at least once, in order."""
    lasting = Properties(PacketTypes.CONNECT)
    lasting.SessionExpiryInterval = 300
    reader = paho_client(f"shaken-reader-{qos}", version=paho.MQTTv5, clean_start=False, properties=lasting)
    reader.paho.reconnect_delay_set(0.05, 0.1)
    reader.subscribe(f"shaken/{qos}", options=SubscribeOptions(qos=qos))
    writer = paho_client(f"shaken-writer-{qos}", clean=False)
    writer.paho.reconnect_delay_set(0.05, 0.1)
    sent = [writer.paho.publish(f"shaken/{qos}", b"%d" % number, qos) for number in range(300)]
    done = threading.Event()

    def shake() -> None:
        """Who is back is kicked: where two of its connections in turn end before CONNACK, paho sends messages again
        that it has sent PUBREL for."""
        while not done.wait(0.05):
            for client, name in (reader, "reader"), (writer, "writer"):
                connects = client.connects
                broker.api("DELETE", f"connections/shaken-{name}-{qos}")
                wait_until(lambda client=client, connects=connects: client.connects > connects, WITHIN)

    shaking = threading.Thread(target=shake)
    shaking.start()
    try:
        wait_until(lambda: sum(info.is_published() for info in sent) > 200, 40, "most of the messages")
    finally:
        done.set()
        shaking.join()
    got: list[int] = []
    while not got or got[-1] != 299:
        got.append(int(reader.receive(WITHIN).payload))
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
