"""PUBLISH and what acknowledges it: what the specifications demand of a server."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.clients.codec import PUBACK, PUBCOMP, PUBREC, PUBREL, VERSIONS, Client

NAMES = (f"conform-p{number}" for number in itertools.count())
TOPICS = (f"conform/p/{number}" for number in itertools.count())
every_version = pytest.mark.parametrize("version", VERSIONS)
KEPT = {3: {}, 4: {}, 5: {"session_expiry_interval": 600}}
PROPERTIES = {
    "payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "conform/answer",
    "correlation_data": b"\x00\xfe\xff", "user_property": [("b", "1"), ("a", "2"), ("b", "1"), ("", "")],
}


@pytest.fixture
def pair(dial):
    """A publisher and a subscriber of a topic of their own, both MQTT 5 unless told."""
    def pair(version: int = 5, qos: int = 2, **properties) -> tuple[Client, Client, str]:
        topic = next(TOPICS)
        publisher, subscriber = dial(version), dial(version)
        publisher.connect(next(NAMES))
        subscriber.connect(next(NAMES), **properties)
        subscriber.subscribe(topic, options=qos)
        return publisher, subscriber, topic

    return pair


def exchange(client: Client, topic: str, payload: bytes, packet_id: int = 10) -> None:
    """A QoS 2 message from PUBLISH to PUBCOMP."""
    client.publish(topic, payload, qos=2, packet_id=packet_id)
    expect(client, PUBREC, packet_id)
    client.ack(PUBREL, packet_id)
    expect(client, PUBCOMP, packet_id)


def expect(client: Client, kind: int, packet_id: int, code: int = 0) -> None:
    ack = client.packet()
    assert (ack.type, ack.packet_id, ack.reason_code) == (kind, packet_id, code), ack


def take(client: Client) -> bytes:
    """A message, acknowledged as its QoS asks."""
    message = client.packet()
    if message.qos == 1:
        client.ack(PUBACK, message.packet_id)
    elif message.qos == 2:
        client.ack(PUBREC, message.packet_id)
        expect(client, PUBREL, message.packet_id)
        client.ack(PUBCOMP, message.packet_id)
    return message.payload


# ---- the three exchanges

@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_delivery(pair, version, qos):
    """[MQTT-3.3.4-1] [MQTT-4.3.1-1] [MQTT-4.3.2-4] [MQTT-4.3.3-4] [MQTT-4.3.3-8] [MQTT-4.3.3-11] [MQTT-2.2.1-5]"""
    publisher, subscriber, topic = pair(version)
    publisher.publish(topic, b"one", qos=qos, packet_id=qos and 513)
    if qos == 1:
        expect(publisher, PUBACK, 513)
    if qos == 2:
        expect(publisher, PUBREC, 513)
        publisher.ack(PUBREL, 513)
        expect(publisher, PUBCOMP, 513)
    message = subscriber.packet()
    assert (message.topic, message.payload, message.qos, message.dup, message.retain) == (topic, b"one", qos, False,
                                                                                           False)
    assert bool(message.packet_id) is bool(qos)
    if qos == 1:
        subscriber.ack(PUBACK, message.packet_id)
    if qos == 2:
        subscriber.ack(PUBREC, message.packet_id)
        expect(subscriber, PUBREL, message.packet_id)
        subscriber.ack(PUBCOMP, message.packet_id)
    assert subscriber.packets() == []
    assert publisher.packets() == []


@every_version
@pytest.mark.parametrize("qos", [1, 2])
def test_the_incoming_dup_flag_goes_no_further(pair, version, qos):
    """[MQTT-3.3.1-3] [MQTT-4.3.2-2] [MQTT-4.3.3-2]"""
    publisher, subscriber, topic = pair(version)
    publisher.publish(topic, b"again", qos=qos, dup=True)
    assert subscriber.packet().dup is False


@every_version
def test_qos_1_with_the_same_identifier_is_a_new_message(pair, version):
    """[MQTT-4.3.2-5]; 3.1.1: [MQTT-4.3.2-2]"""
    publisher, subscriber, topic = pair(version)
    for dup in (False, True):
        publisher.publish(topic, b"m", qos=1, packet_id=9, dup=dup)
        expect(publisher, PUBACK, 9)
        assert take(subscriber) == b"m"


@every_version
def test_qos_2_is_delivered_once(pair, version):
    """[MQTT-4.3.3-10] [MQTT-4.3.3-12]; 3.1.1: [MQTT-4.3.3-2]"""
    publisher, subscriber, topic = pair(version, 0)
    for dup in (False, True, True):
        publisher.publish(topic, b"once", qos=2, packet_id=7, dup=dup)
        expect(publisher, PUBREC, 7)
    publisher.ack(PUBREL, 7)
    expect(publisher, PUBCOMP, 7)
    assert subscriber.packet().payload == b"once"
    assert subscriber.packets() == []
    publisher.publish(topic, b"new", qos=2, packet_id=7)
    expect(publisher, PUBREC, 7)
    assert subscriber.packet().payload == b"new"


@every_version
def test_qos_2_is_delivered_once_over_a_reconnect(dial, pair, version):
    """[MQTT-4.3.3-10] [MQTT-4.4.0-1]"""
    _, subscriber, topic = pair(version, 0)
    name = next(NAMES)
    for dup in (False, True):
        publisher = dial(version)
        publisher.connect(name, clean_start=False, **KEPT[version])
        publisher.publish(topic, b"once", qos=2, packet_id=7, dup=dup)
        expect(publisher, PUBREC, 7)
        publisher.sock.close()
    assert subscriber.packet().payload == b"once"
    assert subscriber.packets() == []


@every_version
def test_a_qos_2_identifier_nobody_knows(dial, version):
    """[MQTT-4.3.3-11]: PUBREL is answered all the same."""
    client = dial(version)
    client.connect(next(NAMES))
    client.ack(PUBREL, 99)
    expect(client, PUBCOMP, 99, 0x92 if version == 5 else 0)


# ---- retransmission

@every_version
def test_what_was_not_acknowledged_comes_again(dial, pair, version):
    """[MQTT-3.3.1-1] [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.4.0-1] [MQTT-4.6.0-1]"""
    publisher, _, topic = pair(version)
    name = next(NAMES)
    first = dial(version)
    first.connect(name, clean_start=False, **KEPT[version])
    first.subscribe(topic, options=2)
    for number, qos in enumerate((1, 2, 1, 2, 2)):
        publisher.publish(topic, b"%d" % number, qos=qos, packet_id=100 + number)
        publisher.packet()
    sent = [first.packet() for _ in range(5)]
    assert len({message.packet_id for message in sent}) == 5  # [MQTT-2.2.1-4]
    first.ack(PUBREC, sent[1].packet_id)
    expect(first, PUBREL, sent[1].packet_id)
    first.sock.close()
    second = dial(version)
    second.connect(name, clean_start=False, **KEPT[version])
    again = [second.packet() for _ in range(5)]
    assert [packet.packet_id for packet in again] == [message.packet_id for message in sent]
    assert again[1].type == PUBREL
    messages = [packet for position, packet in enumerate(again) if position != 1]
    assert [(message.payload, message.qos, message.dup) for message in messages] == [
        (b"0", 1, True), (b"2", 1, True), (b"3", 2, True), (b"4", 2, True)]
    second.ack(PUBCOMP, sent[1].packet_id)
    for message in messages:
        second.ack(PUBACK if message.qos == 1 else PUBREC, message.packet_id)
    for message in messages[2:]:
        expect(second, PUBREL, message.packet_id)
        second.ack(PUBCOMP, message.packet_id)
    assert second.packets() == []
    second.sock.close()
    third = dial(version)
    third.connect(name, clean_start=False, **KEPT[version])
    assert third.packets() == []


def test_no_retransmission_on_a_connection_that_lives(dial, start_broker):
    """[MQTT-4.4.0-1]; MQTT 3.x clients are sent unacknowledged messages again after `retry_interval`"""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__RETRY_INTERVAL": "1s"})
    clients = {version: dial(version, broker.mqtt_port) for version in (4, 5)}
    for version, client in clients.items():
        client.connect(f"retry-{version}")
        client.subscribe("t", options=1)
        client.publish("t", b"m")
    clients[5].publish("t", b"kept", qos=1)
    deadline = time.monotonic() + 10
    seen = []
    while not any(getattr(packet, "dup", False) for packet in seen):
        assert time.monotonic() < deadline, seen
        seen += clients[4].packets()
        time.sleep(0.1)
    assert not any(getattr(packet, "dup", False) for packet in clients[5].packets())


@pytest.mark.parametrize("kind", [PUBACK, PUBREC])
def test_a_negative_acknowledgement_ends_the_exchange(dial, pair, kind):
    """[MQTT-4.3.3-4] [MQTT-4.4.0-2]"""
    publisher, _, topic = pair()
    name = next(NAMES)
    first = dial()
    first.connect(name, clean_start=False, **KEPT[5])
    first.subscribe(topic, options=2)
    publisher.publish(topic, b"unwanted", qos=1 if kind == PUBACK else 2)
    message = first.packet()
    first.ack(kind, message.packet_id, 0x83)
    assert first.packets() == []
    first.sock.close()
    second = dial()
    second.connect(name, clean_start=False, **KEPT[5])
    assert second.packets() == []


# ---- order and quota

@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_order(pair, version, qos):
    """[MQTT-4.6.0-2] to [MQTT-4.6.0-6]; 3.1.1: also [MQTT-4.6.0-1]"""
    publisher, subscriber, topic = pair(version)
    for number in range(20):
        publisher.publish(topic, b"%d" % number, qos=qos, packet_id=qos and number + 1)
    if qos:
        assert [publisher.packet().packet_id for _ in range(20)] == list(range(1, 21))
    got = [subscriber.packet() for _ in range(20)]
    assert [message.payload for message in got] == [b"%d" % number for number in range(20)]
    if qos == 2:
        for message in got:
            subscriber.ack(PUBREC, message.packet_id)
        assert [subscriber.packet().packet_id for _ in got] == [message.packet_id for message in got]
        for number in range(20):
            publisher.ack(PUBREL, number + 1)
        assert [publisher.packet().packet_id for _ in range(20)] == list(range(1, 21))


def test_receive_maximum_of_the_client(pair):
    """[MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] [MQTT-4.9.0-2] [MQTT-4.9.0-3]"""
    publisher, subscriber, topic = pair(receive_maximum=2)
    for number in range(5):
        publisher.publish(topic, b"%d" % number, qos=1 + number % 2, packet_id=50 + number)
    for number in (1, 3):
        publisher.ack(PUBREL, 50 + number)
    publisher.packets()
    held = [packet for packet in subscriber.packets() if packet.__class__.__name__ == "PublishPacket"]
    assert [message.payload for message in held] == [b"0", b"1"]
    publisher.publish(topic, b"q0")
    suback = subscriber.subscribe("conform/other", packet_id=77)
    while suback.__class__.__name__ != "Suback":
        suback = subscriber.packet()
    subscriber.ack(PUBREC, held[1].packet_id)
    assert [packet.payload for packet in subscriber.packets() if hasattr(packet, "payload")] in ([], [b"q0"])
    subscriber.ack(PUBACK, held[0].packet_id)
    assert [packet.payload for packet in subscriber.packets() if hasattr(packet, "qos") and packet.qos] == [b"2"]


# ---- RETAIN

@pytest.fixture
def retained(dial):
    """`retained()`: what a new subscriber of the topic is sent."""
    def retained(topic: str, version: int = 5, options: int = 2) -> list:
        reader = dial(version)
        reader.connect(next(NAMES))
        reader.subscribe(topic, options=options)
        return reader.packets()

    return retained


@every_version
def test_retained_messages(dial, retained, version):
    """[MQTT-3.3.1-5] to [MQTT-3.3.1-8]; 3.1.1: [MQTT-3.3.1-5] to [MQTT-3.3.1-12]"""
    topic = next(TOPICS)
    client = dial(version)
    client.connect(next(NAMES))
    client.subscribe(topic, options=1)

    def publish(payload: bytes, retain: bool) -> None:
        client.publish(topic, payload, qos=1, retain=retain)
        own = [packet for packet in client.packets() if hasattr(packet, "payload")]
        assert [(message.payload, message.retain) for message in own] == [(payload, False)]  # [MQTT-3.3.1-12]
        client.ack(PUBACK, own[0].packet_id)

    publish(b"one", True)
    publish(b"two", True)
    assert [(message.payload, message.qos, message.retain) for message in retained(topic, version)] == [
        (b"two", 1, True)]
    publish(b"passing", False)
    assert [message.payload for message in retained(topic, version)] == [b"two"]
    assert [message.qos for message in retained(topic, version, 0)] == [0]
    publish(b"", True)
    assert retained(topic, version) == []
    publish(b"", True)
    assert retained(topic, version) == []


def test_a_zero_length_message_without_retain_removes_nothing(dial, retained):
    """[MQTT-3.3.1-8]"""
    topic = next(TOPICS)
    client = dial()
    client.connect(next(NAMES))
    client.publish(topic, b"stays", retain=True)
    client.publish(topic, b"")
    client.packets()
    assert [message.payload for message in retained(topic)] == [b"stays"]


@pytest.mark.parametrize(("handling", "again"), [(0, [b"old", b"old"]), (1, [b"old"]), (2, [])])
def test_retain_handling(dial, handling, again):
    """[MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]"""
    topic = next(TOPICS)
    client = dial()
    client.connect(next(NAMES))
    client.publish(topic, b"old", retain=True)
    for packet_id in (1, 2):
        client.subscribe(topic, options=handling << 4, packet_id=packet_id)
    client.publish(topic, b"new")
    got = [packet for packet in client.packets() if hasattr(packet, "payload")]
    assert [message.payload for message in got if message.retain] == again[1:] or handling == 0
    assert got[-1].payload == b"new"


@pytest.mark.parametrize(("options", "flag"), [(0, False), (8, True)])
def test_retain_as_published(dial, options, flag):
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
    topic = next(TOPICS)
    client = dial()
    client.connect(next(NAMES))
    client.subscribe(topic, options=options)
    client.publish(topic, b"x", retain=True)
    client.publish(topic, b"y")
    assert [(message.payload, message.retain) for message in client.packets()] == [(b"x", flag), (b"y", False)]


# ---- what is passed on

@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_are_passed_on_unaltered(pair, qos):
    """[MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]"""
    publisher, subscriber, topic = pair()
    publisher.publish(topic, b"x", qos=qos, **PROPERTIES)
    message = subscriber.packet()
    assert message.properties == PROPERTIES


def test_properties_are_kept_with_what_waits(dial, retained):
    topic, name = next(TOPICS), next(NAMES)
    waiting, publisher = dial(), dial()
    waiting.connect(name, clean_start=False, **KEPT[5])
    waiting.subscribe(topic, options=1)
    waiting.disconnect()
    waiting.assert_closed()
    publisher.connect(next(NAMES))
    publisher.publish(topic, b"x", qos=1, retain=True, **PROPERTIES)
    publisher.packets()
    again = dial()
    again.connect(name, clean_start=False, **KEPT[5])
    assert again.packet().properties == PROPERTIES
    assert [message.properties for message in retained(topic)] == [PROPERTIES]


@pytest.mark.parametrize(("sender", "receiver"), [(5, 4), (5, 3), (4, 5), (3, 5), (3, 4)])
def test_between_versions(dial, sender, receiver):
    topic = next(TOPICS)
    publisher, subscriber = dial(sender), dial(receiver)
    publisher.connect(next(NAMES))
    subscriber.connect(next(NAMES))
    subscriber.subscribe(topic, options=2)
    for qos in (0, 1, 2):
        publisher.publish(topic, b"%d" % qos, qos=qos, packet_id=qos, **(PROPERTIES if sender == 5 else {}))
    messages = [subscriber.packet() for _ in range(3)]
    assert [message.payload for message in messages] == [b"0", b"1", b"2"]
    assert all(message.properties == (PROPERTIES if sender == receiver == 5 else {}) for message in messages)


def test_message_expiry(dial, retained):
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6]"""
    topic, name = next(TOPICS), next(NAMES)
    waiting, publisher = dial(), dial()
    waiting.connect(name, clean_start=False, **KEPT[5])
    waiting.subscribe(topic, options=1)
    waiting.disconnect()
    waiting.assert_closed()
    publisher.connect(next(NAMES))
    for payload, interval in ((b"short", 1), (b"long", 100)):
        publisher.publish(topic, payload, qos=1, message_expiry_interval=interval)
        publisher.packet()
    time.sleep(2.1)  # what is tested is that time passes
    again = dial()
    again.connect(name, clean_start=False, **KEPT[5])
    message = again.packet()  # the store has it, and reads it when its client is back
    assert message.payload == b"long"
    assert 90 <= message.properties["message_expiry_interval"] <= 98
    again.sock.close()
    # [MQTT-4.3.3-7] what was sent once does not expire any more: it comes again
    third = dial()
    third.connect(name, clean_start=False, **KEPT[5])
    assert third.packet().dup is True


def test_topic_aliases_from_the_client(dial, start_broker):
    """[MQTT-3.3.2-7] [MQTT-3.3.2-8] [MQTT-3.3.2-12] and section 3.3.2.3.4"""
    port = start_broker({"EMQX_MQTT__MAX_TOPIC_ALIAS": "3"}).mqtt_port
    client = dial(5, port)
    assert client.connect("aliases").properties["topic_alias_maximum"] == 3
    client.subscribe("a/#", options=1)
    for alias in (1, 2, 3):
        client.publish(f"a/{alias}", b"named", topic_alias=alias)
        client.publish("", b"alias", topic_alias=alias)
    client.publish("a/new", b"named", topic_alias=1)
    client.publish("", b"alias", qos=1, topic_alias=1)
    got = [message for message in client.packets() if hasattr(message, "payload")]
    assert [(message.topic, message.properties) for message in got] == [
        (topic, {}) for topic in ("a/1", "a/1", "a/2", "a/2", "a/3", "a/3", "a/new", "a/new")]
    again = dial(5, port)
    again.connect("aliases")
    again.publish("", b"of another connection", topic_alias=1)
    assert again.packet().reason_code == 0x82
    again.assert_closed()
    over = dial(5, port)
    over.connect("over")
    over.publish("a", b"", topic_alias=4)
    assert over.packet().reason_code == 0x94
    over.assert_closed()


def test_the_topics_of_aliases_have_a_bound_together(dial):
    """64 aliases by default, whose topics have 16 KiB together; more than that is DISCONNECT 0x97 (section 4.13.2)."""
    client = dial()
    assert client.connect(next(NAMES)).properties["topic_alias_maximum"] == 64
    for _ in range(2):  # an alias that is given again counts once
        for alias in range(1, 65):
            client.publish(f"{alias:0256}", b"", topic_alias=alias)
    client.publish("t", b"", qos=1, topic_alias=64)
    assert client.packet().reason_code in (0, 0x10)
    client.publish("t" * 257, b"", topic_alias=64)
    assert client.packet().reason_code == 0x97
    client.assert_closed()


@pytest.mark.parametrize("maximum", [None, 0, 2])
def test_topic_aliases_to_the_client(dial, maximum):
    """[MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11]"""
    client = dial()
    client.connect(next(NAMES), **({} if maximum is None else {"topic_alias_maximum": maximum}))
    topics = [next(TOPICS) for _ in range(4)]
    client.subscribe(*topics)
    known: dict[int, str] = {}
    got = []
    for topic in topics * 3:
        client.publish(topic, b"x")
        (message,) = client.packets()
        alias = message.properties.get("topic_alias", 0)
        assert alias <= (maximum or 0)
        if message.topic and alias:
            known[alias] = message.topic
        got.append(message.topic or known[alias])
    assert got == topics * 3


# ---- refused and expired

@pytest.fixture
def checking(start_broker) -> int:
    """The port of a broker that refuses payloads which are not what they are said to be."""
    return start_broker({"EMQX_MQTT__CHECK_PAYLOAD_FORMAT": "true"}).mqtt_port


def test_reasons_of_refused_messages(dial, checking):
    """[MQTT-3.4.2-2] [MQTT-3.5.2-2]"""
    for properties, told in (({}, False), ({"request_problem_information": 0}, False),
                             ({"request_problem_information": 1}, True)):
        client = dial(5, checking)
        client.connect("refused", **properties)
        for qos in (1, 2):
            client.publish("t", b"\xff", qos=qos, payload_format_indicator=1)
            ack = client.packet()
            assert (ack.type, ack.reason_code) == (PUBACK if qos == 1 else PUBREC, 0x99)
            assert ("reason_string" in ack.properties) is told


def test_a_refused_qos_2_identifier_is_free(dial, checking):
    """[MQTT-4.3.3-9]"""
    client, reader = dial(5, checking), dial(5, checking)
    client.connect("refused")
    reader.connect("reader")
    reader.subscribe("t")
    client.publish("t", b"\xff", qos=2, payload_format_indicator=1)
    expect(client, PUBREC, 10, 0x99)
    client.publish("t", b"new", qos=2)
    expect(client, PUBREC, 10)
    assert reader.packet().payload == b"new"


def test_an_expired_message_is_acknowledged_to_its_end(dial):
    """[MQTT-4.3.3-13]: what the broker took with an interval of 0 or 1 s is answered like any other"""
    topic = next(TOPICS)
    client = dial()
    client.connect(next(NAMES))
    client.publish(topic, b"x", qos=2, message_expiry_interval=1)
    expect(client, PUBREC, 10, 0x10)
    time.sleep(1.5)
    client.ack(PUBREL, 10)
    expect(client, PUBCOMP, 10)


@every_version
def test_a_retained_message_of_qos_0_replaces_another(dial, retained, version):
    """3.1.1: [MQTT-3.3.1-7]"""
    topic = next(TOPICS)
    client = dial(version)
    client.connect(next(NAMES))
    for number, qos in enumerate((1, 0, 0)):
        client.publish(topic, b"%d" % number, qos=qos, retain=True)
    client.packets()
    assert [(message.payload, message.qos) for message in retained(topic, version)] == [(b"2", 0)]
