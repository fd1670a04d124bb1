"""The broker as a client library that others wrote sees it, in each version."""

from __future__ import annotations

import itertools
import queue
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE = 10.0
VERSIONS = {"3.1": paho.MQTTv31, "3.1.1": paho.MQTTv311, "5": paho.MQTTv5}
NAMES = (f"paho-{number}" for number in itertools.count())


def properties(kind: int, **given: Any) -> Properties:
    made = Properties(kind)
    for name, value in given.items():
        setattr(made, name, value)
    return made


class Library:
    """A paho client with a thread of its own; what happens to it is in `events`."""

    def __init__(self, version: int, name: str, clean: bool = True) -> None:
        start = {} if version == paho.MQTTv5 else {"clean_session": clean}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=version, **start)
        self.version, self.clean = version, clean
        self.events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.client.on_connect = lambda _c, _u, flags, reason, _p: self.put("connected", (flags, reason))
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.put("subscribed", reasons)
        self.client.on_publish = lambda _c, _u, mid, _r, _p: self.put("published", mid)
        self.client.on_message = lambda _c, _u, message: self.put("message", message)

    def put(self, kind: str, what: Any) -> None:
        self.events.put((kind, what))

    def start(self, port: int) -> Any:
        more = {}
        if self.version == paho.MQTTv5:
            more = {"clean_start": self.clean,
                    "properties": properties(PacketTypes.CONNECT, SessionExpiryInterval=0 if self.clean else 600)}
        self.client.connect("127.0.0.1", port, **more)
        self.client.loop_start()
        return self.next("connected")

    def next(self, kind: str) -> Any:
        """The next event of that kind; others before it are dropped."""
        while True:
            happened, what = self.events.get(timeout=PATIENCE)
            if happened == kind:
                return what

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def library(broker):
    made: list[Library] = []

    def library(version: int, name: str | None = None, clean: bool = True) -> Library:
        made.append(Library(version, name or next(NAMES), clean))
        return made[-1]

    library.port = broker.mqtt_port  # type: ignore[attr-defined]
    yield library
    for one in made:
        one.stop()


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_there_and_back(library, version, qos):
    one = library(version)
    flags, reason = one.start(library.port)
    assert (flags.session_present, reason.is_failure) == (False, False)
    topic = f"paho/{next(NAMES)}"
    one.client.subscribe(topic, qos)
    assert [int(code.value) for code in one.next("subscribed")] == [qos]
    for number in range(50):
        one.client.publish(topic, b"%d" % number, qos)
    got = [one.next("message") for _ in range(50)]
    assert [(message.payload, message.qos, message.retain) for message in got] == [
        (b"%d" % number, qos, False) for number in range(50)]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_session_and_what_it_missed(library, version):
    name, topic = next(NAMES), f"paho/{next(NAMES)}"
    first = library(version, name, clean=False)
    first.start(library.port)
    first.client.subscribe(topic, 2)
    first.next("subscribed")
    first.stop()
    sender = library(version)
    sender.start(library.port)
    for qos in (1, 2):
        sender.client.publish(topic, b"%d" % qos, qos)
        sender.next("published")
    second = library(version, name, clean=False)
    flags, _ = second.start(library.port)
    assert flags.session_present is True
    assert [second.next("message").payload for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_retained_and_will(library, version):
    topic = f"paho/{next(NAMES)}"
    dying, reader = library(version), library(version)
    dying.client.will_set(topic, b"gone", 1, retain=True)
    dying.start(library.port)
    dying.client.loop_stop()
    dying.client.socket().close()
    reader.start(library.port)
    reader.client.subscribe(topic, 1)
    message = reader.next("message")
    assert message.payload == b"gone"
    reader.client.publish(topic, b"", retain=True)


def test_properties_of_mqtt_5(library):
    topic = f"paho/{next(NAMES)}"
    one = library(paho.MQTTv5)
    one.start(library.port)
    one.client.subscribe(topic, 1, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=[7]))
    one.next("subscribed")
    sent = properties(PacketTypes.PUBLISH, ContentType="text/plain", ResponseTopic="answer", CorrelationData=b"\x00",
                      UserProperty=[("a", "1"), ("a", "2")], MessageExpiryInterval=60, PayloadFormatIndicator=1)
    one.client.publish(topic, b"x", 1, properties=sent)
    got = one.next("message").properties
    assert (got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty, got.PayloadFormatIndicator,
            got.SubscriptionIdentifier) == ("text/plain", "answer", b"\x00", [("a", "1"), ("a", "2")], 1, [7])
    assert got.MessageExpiryInterval in (59, 60)
