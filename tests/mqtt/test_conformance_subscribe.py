"""SUBSCRIBE, UNSUBSCRIBE and matching: what the specifications demand of a server."""

from __future__ import annotations

import itertools

import pytest

from router_ext.protocol.packets import Subscribe
from tests.clients.codec import PUBACK, PUBREC, VERSIONS, Client

NAMES = (f"conform-s{number}" for number in itertools.count())
PLACES = (f"conform/s/{number}" for number in itertools.count())
every_version = pytest.mark.parametrize("version", VERSIONS)
NO_LOCAL = 4


@pytest.fixture
def client(dial):
    def client(version: int = 5, name: str | None = None, **given) -> Client:
        client = dial(version)
        client.connect(name or next(NAMES), **given)
        return client

    return client


def messages(client: Client) -> list[tuple[str, bytes]]:
    return [(packet.topic, packet.payload) for packet in client.packets() if hasattr(packet, "payload")]


# ---- SUBSCRIBE

@every_version
def test_suback(client, version):
    """[MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] to [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2]"""
    place = next(PLACES)
    subscriber = client(version)
    wanted = [(f"{place}/{number}", number % 3) for number in range(7)]
    subscriber.send(Subscribe(0xFFFE, wanted))
    suback = subscriber.packet()
    assert (suback.packet_id, suback.reason_codes) == (0xFFFE, [0, 1, 2, 0, 1, 2, 0])
    for topic, _ in wanted:
        subscriber.publish(topic, b"x")
    assert messages(subscriber) == [(topic, b"x") for topic, _ in wanted]


@every_version
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
def test_the_lower_qos_of_publication_and_subscription(client, version, granted, sent):
    """[MQTT-3.8.4-8]; 3.1.1: [MQTT-3.8.4-6]"""
    place = next(PLACES)
    subscriber, publisher = client(version), client(version)
    subscriber.subscribe(place, options=granted)
    publisher.publish(place, b"x", qos=sent)
    assert subscriber.packet().qos == min(granted, sent)


@every_version
def test_a_subscription_is_replaced(client, version):
    """[MQTT-3.8.4-3] [MQTT-3.8.4-4]"""
    place = next(PLACES)
    subscriber = client(version)
    subscriber.publish(place, b"kept", retain=True)
    for qos in (2, 0):
        subscriber.subscribe(place, options=qos)
        assert [packet.payload for packet in subscriber.packets()] == [b"kept"]
    subscriber.publish(place, b"new", qos=1)
    assert [(packet.payload, packet.qos) for packet in subscriber.packets() if hasattr(packet, "payload")] == [
        (b"new", 0)]


def test_the_identifier_of_a_replaced_subscription(client):
    """[MQTT-3.8.4-3]"""
    place = next(PLACES)
    subscriber = client()
    for properties in ({"subscription_identifier": 5}, {"subscription_identifier": 268435455}, {}):
        subscriber.subscribe(place, **properties)
        subscriber.publish(place, b"x")
        expected = [properties["subscription_identifier"]] if properties else None
        got = subscriber.packets()[0].properties.get("subscription_identifier")
        assert ([got] if isinstance(got, int) else got) == expected


@every_version
def test_overlapping_subscriptions(client, version):
    """[MQTT-3.3.4-2]; 3.1.1: [MQTT-3.3.5-1]: the highest QoS of those that match; one copy"""
    place = next(PLACES)
    subscriber, publisher = client(version), client(version)
    subscriber.subscribe(f"{place}/#", options=0)
    subscriber.subscribe(f"{place}/+", options=2)
    subscriber.subscribe(f"{place}/a", options=1)
    publisher.publish(f"{place}/a", b"x", qos=2)
    publisher.packets()
    assert [packet.qos for packet in subscriber.packets()] == [2]


def test_the_identifiers_of_overlapping_subscriptions(client):
    """[MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]"""
    place = next(PLACES)
    subscriber = client()
    subscriber.subscribe(f"{place}/#", subscription_identifier=1)
    subscriber.subscribe(f"{place}/+", subscription_identifier=200)
    subscriber.subscribe(f"{place}/a")
    subscriber.publish(f"{place}/a", b"x")
    got = []
    for packet in subscriber.packets():
        found = packet.properties.get("subscription_identifier", [])
        got += [found] if isinstance(found, int) else found
    assert sorted(got) == [1, 200]


def test_no_local(client):
    """[MQTT-3.8.3-3]"""
    place = next(PLACES)
    subscriber, other = client(), client()
    subscriber.subscribe(place, options=NO_LOCAL)
    subscriber.publish(place, b"own")
    assert subscriber.packets() == []
    other.publish(place, b"other")
    assert subscriber.packet().payload == b"other"


# ---- UNSUBSCRIBE

@every_version
def test_unsubscribe(client, version):
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] to [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2]"""
    place = next(PLACES)
    subscriber = client(version)
    subscriber.subscribe(f"{place}/a", f"{place}/+", f"{place}/b")
    unsuback = subscriber.unsubscribe(f"{place}/+", f"{place}/A", f"{place}/a", packet_id=0x1234)
    assert unsuback.packet_id == 0x1234
    assert unsuback.reason_codes == ([0x00, 0x11, 0x00] if version == 5 else [])
    for level in "abc":
        subscriber.publish(f"{place}/{level}", b"x")
    assert messages(subscriber) == [(f"{place}/b", b"x")]
    assert subscriber.unsubscribe("conform/never/subscribed").packet_id == 2


@every_version
def test_what_was_begun_is_finished_after_unsubscribe(client, version):
    """[MQTT-3.10.4-3]"""
    place = next(PLACES)
    subscriber, publisher = client(version), client(version)
    subscriber.subscribe(place, options=2)
    publisher.publish(place, b"x", qos=2)
    message = subscriber.packet()
    subscriber.unsubscribe(place)
    subscriber.ack(PUBREC, message.packet_id)
    assert subscriber.packet().packet_id == message.packet_id


# ---- topics

@every_version
@pytest.mark.parametrize(("topic_filter", "topic", "matches"), [
    ("P/#", "P", True), ("P/#", "P/a/b", True), ("P/+", "P", False), ("P/+", "P/", True), ("P/+", "P/a/b", False),
    ("P/+/b", "P/a/b", True), ("P/a", "P/A", False), ("P/a", "P//a", False), ("P//a", "P//a", True),
    ("P/+/a", "P//a", True), ("P/a", "P/a/", False), ("P/ a", "P/a", False), ("P/é", "P/e\u0301", False),
    ("P/\ufeffa", "P/a", False), ("P/\ufeffa", "P/\ufeffa", True), ("P/😀/#", "P/😀/x", True),
])
def test_matching(client, version, topic_filter, topic, matches):
    """[MQTT-3.3.2-3] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-4] [MQTT-1.5.4-3]; 3.1.1: [MQTT-4.7.1-3]"""
    place = next(PLACES)
    subscriber = client(version)
    subscriber.subscribe(topic_filter.replace("P", place))
    subscriber.publish(topic.replace("P", place), b"x")
    assert messages(subscriber) == [(topic.replace("P", place), b"x")] * matches


@every_version
@pytest.mark.parametrize("topic_filter", ["#", "+/conform", "+/#"])
def test_wildcards_do_not_match_dollar_topics(client, version, topic_filter):
    """[MQTT-4.7.2-1]"""
    subscriber = client(version)
    subscriber.subscribe(topic_filter)
    subscriber.subscribe("$conform/#")
    subscriber.publish("$conform", b"direct")
    subscriber.publish("$other/conform", b"unseen")
    got = [found for found in messages(subscriber) if found[0].startswith("$")]
    assert got == [("$conform", b"direct")]


def test_topics_of_65535_bytes(client):
    """[MQTT-4.7.3-3]"""
    subscriber = client()
    topic = "conform/" + "x" * 65527
    subscriber.subscribe(topic)
    subscriber.publish(topic, b"x")
    assert subscriber.packet().topic == topic


# ---- shared subscriptions

def test_each_message_to_one_of_a_group(client):
    """Section 4.8.2; every group and every plain subscriber gets it"""
    place = next(PLACES)
    members = [client() for _ in range(3)]
    for member in members:
        member.subscribe(f"$share/g/{place}", options=1)
    other, plain, publisher = client(), client(), client()
    other.subscribe(f"$share/other/{place}")
    plain.subscribe(place)
    for number in range(12):
        publisher.publish(place, b"%d" % number, qos=1, packet_id=number + 1)
    publisher.packets()
    got = sorted(int(payload) for member in members for _, payload in messages(member))
    assert got == list(range(12))
    assert len(messages(other)) == len(messages(plain)) == 12


def test_a_shared_subscription_keeps_its_granted_qos(client):
    """[MQTT-4.8.2-3]"""
    place = next(PLACES)
    member, publisher = client(), client()
    member.subscribe(f"$share/g/{place}", options=0)
    publisher.publish(place, b"x", qos=2)
    assert member.packet().qos == 0


def test_no_retained_messages_for_a_shared_subscription(client):
    """Section 3.8.3.1"""
    place = next(PLACES)
    member = client()
    member.publish(place, b"kept", retain=True)
    member.subscribe(f"$share/g/{place}")
    assert member.packets() == []


@pytest.mark.parametrize(("kind", "qos"), [(PUBACK, 1), (PUBREC, 2)])
def test_a_message_a_member_refuses_is_gone(client, kind, qos):
    """[MQTT-4.8.2-6]"""
    place = next(PLACES)
    members = [client(), client()]
    for member in members:
        member.subscribe(f"$share/g/{place}", options=2)
    publisher = client()
    publisher.publish(place, b"x", qos=qos)
    publisher.packets()
    got = [(member, packet) for member in members for packet in member.packets()]
    ((member, packet),) = got
    member.ack(kind, packet.packet_id, 0x83)
    assert all(each.packets() == [] for each in members)


def test_a_qos_2_message_waits_for_its_member(client, dial):
    """[MQTT-4.8.2-4] [MQTT-4.8.2-5]"""
    place = next(PLACES)
    names = [next(NAMES), next(NAMES)]
    members = [client(name=name, clean_start=False, session_expiry_interval=600) for name in names]
    for member in members:
        member.subscribe(f"$share/g/{place}", options=2)
    publisher = client()
    publisher.publish(place, b"x", qos=2)
    publisher.packets()
    found = [member.packets() for member in members]
    chosen = 0 if found[0] else 1
    packet_id = found[chosen][0].packet_id
    members[chosen].sock.close()
    other = members[1 - chosen]
    assert other.silent()
    back = dial()
    assert back.connect(names[chosen], clean_start=False, session_expiry_interval=600).session_present is True
    again = back.packet()
    assert (again.payload, again.packet_id, again.dup) == (b"x", packet_id, True)
    back.sock.close()
    dial().connect(names[chosen], clean_start=True)  # the session ends
    assert other.silent()
