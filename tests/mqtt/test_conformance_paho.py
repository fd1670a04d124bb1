"""The broker as a client library that others wrote sees it, in each version."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

PATIENCE = 10.0
VERSIONS = {"3.1": paho.MQTTv31, "3.1.1": paho.MQTTv311, "5": paho.MQTTv5}
NAMES = (f"paho-{number}" for number in itertools.count())


def properties(kind: int, **given: Any) -> Properties:
    made = Properties(kind)
    for name, value in given.items():
        setattr(made, name, value)
    return made


@pytest.fixture
def library(broker: BrokerProcess) -> Iterator[Callable[..., Client]]:
    """Clients that end with the test."""
    with ExitStack() as opened:

        def library(version: int, name: str | None = None, clean: bool = True, **options: Any) -> Client:
            if version == paho.MQTTv5:
                expiry = properties(PacketTypes.CONNECT, SessionExpiryInterval=0 if clean else 600)
                options |= {"clean_start": clean, "properties": expiry}
            return opened.enter_context(Client(broker.mqtt_port, name or next(NAMES), version=version, clean=clean,
                                               **options))

        yield library


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_there_and_back(library, version, qos):
    one = library(version)
    assert (one.flags.session_present, one.code) == (False, 0)
    topic = f"paho/{next(NAMES)}"
    assert one.subscribe(topic, qos) == qos
    for number in range(50):
        one.paho.publish(topic, b"%d" % number, qos)
    got = [one.receive(PATIENCE) for _ in range(50)]
    assert [(message.payload, message.qos, message.retain) for message in got] == [
        (b"%d" % number, qos, False) for number in range(50)]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_a_session_and_what_it_missed(library, version):
    name, topic = next(NAMES), f"paho/{next(NAMES)}"
    first = library(version, name, clean=False)
    first.subscribe(topic, 2)
    first.close()
    sender = library(version)
    for qos in (1, 2):
        sender.publish(topic, b"%d" % qos, qos)
    second = library(version, name, clean=False)
    assert second.flags.session_present is True
    assert [second.receive(PATIENCE).payload for _ in range(2)] == [b"1", b"2"]


@pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)
def test_retained_and_will(library, version):
    topic = f"paho/{next(NAMES)}"
    library(version, will=(topic, b"gone", 1, True)).break_off()
    reader = library(version)
    reader.subscribe(topic, 1)
    assert reader.receive(PATIENCE).payload == b"gone"
    reader.publish(topic, b"", retain=True)


def test_properties_of_mqtt_5(library):
    topic = f"paho/{next(NAMES)}"
    one = library(paho.MQTTv5)
    one.subscribe(topic, 1, properties=properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=[7]))
    sent = properties(PacketTypes.PUBLISH, ContentType="text/plain", ResponseTopic="answer", CorrelationData=b"\x00",
                      UserProperty=[("a", "1"), ("a", "2")], MessageExpiryInterval=60, PayloadFormatIndicator=1)
    one.paho.publish(topic, b"x", 1, properties=sent)
    got = one.receive(PATIENCE).properties
    assert (got.ContentType, got.ResponseTopic, got.CorrelationData, got.UserProperty, got.PayloadFormatIndicator,
            got.SubscriptionIdentifier) == ("text/plain", "answer", b"\x00", [("a", "1"), ("a", "2")], 1, [7])
    assert got.MessageExpiryInterval in (59, 60)
