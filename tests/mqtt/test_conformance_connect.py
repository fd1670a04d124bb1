"""CONNECT to CONNACK, wills, the life of sessions, DISCONNECT: what the specifications demand of a server."""

from __future__ import annotations

import itertools
import time

import pytest

from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Connect, PublishPacket, Subscribe
from tests.broker_process import wait_until
from tests.clients.codec import PUBACK, PUBREC, PUBREL, VERSIONS, Client, Will

NAMES = (f"conform-c{number}" for number in itertools.count())
every_version = pytest.mark.parametrize("version", VERSIONS)
NEVER = 0xFFFFFFFF


def kept(version: int) -> dict[str, int]:
    """CONNECT properties for a session that outlives its connection."""
    return {"session_expiry_interval": NEVER} if version == 5 else {}


def kind(packet) -> str:
    return type(packet).__name__


# ---- sessions

@every_version
def test_a_clean_start_discards_the_session(dial, version):
    """[MQTT-3.1.2-4] [MQTT-3.2.2-2]; 3.1.1: [MQTT-3.1.2-6] [MQTT-3.2.2-1]"""
    name = next(NAMES)
    first = dial(version)
    first.connect(name, clean_start=False, **kept(version))
    first.subscribe("conform/clean", options=1)
    first.disconnect()
    first.assert_closed()
    second = dial(version)
    assert second.connect(name, clean_start=True).session_present is False
    second.publish("conform/clean", b"nobody")
    assert second.packets() == []


@every_version
def test_a_session_is_resumed(dial, version):
    """[MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [MQTT-4.5.0-1]; 3.1.1: [MQTT-3.2.2-2]"""
    name = next(NAMES)
    first = dial(version)
    connack = first.connect(name, clean_start=False, **kept(version))
    assert (connack.session_present, connack.reason_code) == (False, 0)
    first.subscribe("conform/resume", options=1)
    first.disconnect()
    first.assert_closed()
    other = dial()
    other.connect(next(NAMES))
    other.publish("conform/resume", b"waits", qos=1)
    assert kind(other.packet()) == "Ack"
    second = dial(version)
    connack = second.connect(name, clean_start=False, **kept(version))
    assert (connack.session_present, connack.reason_code) == (True, 0)
    waited = second.packet()
    assert (waited.payload, waited.qos, waited.dup) == (b"waits", 1, False)
    second.ack(PUBACK, waited.packet_id)
    other.publish("conform/resume", b"now")
    assert second.packet().payload == b"now"


def test_a_session_ends_with_its_expiry_interval(dial, broker):
    """[MQTT-4.1.0-1] [MQTT-4.1.0-2]"""
    name = next(NAMES)
    client = dial()
    client.connect(name, clean_start=False, session_expiry_interval=1)
    time.sleep(1.5)  # the interval counts from the end of the connection, not from its beginning
    assert client.packets() == []
    client.disconnect()
    client.assert_closed()

    def gone() -> bool:
        return broker.api("GET", f"sessions/{name}").json() in ([], {"items": []})

    wait_until(gone, 10, "the end of the session")
    assert dial().connect(name, clean_start=False).session_present is False


def test_without_expiry_interval_the_session_ends_with_the_connection(dial):
    name = next(NAMES)
    first = dial()
    first.connect(name, clean_start=False)
    first.disconnect()
    first.assert_closed()
    assert dial().connect(name, clean_start=False).session_present is False


def test_disconnect_changes_the_expiry_interval(dial):
    """Section 3.14.2.2.2"""
    name = next(NAMES)
    first = dial()
    first.connect(name, clean_start=False, session_expiry_interval=60)
    first.disconnect(session_expiry_interval=0)
    first.assert_closed()
    assert dial().connect(name, clean_start=False).session_present is False


@every_version
def test_a_client_id_is_taken_over(dial, version):
    """[MQTT-3.1.4-3]; 3.1.1: [MQTT-3.1.4-2]"""
    name = next(NAMES)
    first, second = dial(version), dial(version)
    first.connect(name)
    assert second.connect(name).reason_code == 0
    if version == 5:
        assert first.packet().reason_code == 0x8E
    first.assert_closed()
    assert second.packets() == []


# ---- client identifiers

@every_version
@pytest.mark.parametrize("name", ["a", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"])
def test_client_ids_that_must_be_allowed(dial, version, name):
    """[MQTT-3.1.3-5]"""
    assert dial(version).connect(name).reason_code == 0


@pytest.mark.parametrize("version", [4, 5])
def test_an_empty_client_id_gets_one_of_its_own(dial, version):
    """[MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]"""
    first, second = dial(version), dial(version)
    answers = [client.connect("") for client in (first, second)]
    assert [answer.reason_code for answer in answers] == [0, 0]
    if version == 5:
        names = [answer.properties["assigned_client_identifier"] for answer in answers]
        assert len(set(names)) == 2
        third = dial()
        third.connect(names[0])
        assert first.packet().reason_code == 0x8E  # the identifier is the connection's for all purposes
    assert second.packets() == []


@pytest.mark.parametrize("version", [3, 4])
def test_an_empty_client_id_with_a_session(dial, version):
    """3.1.1: [MQTT-3.1.3-8] [MQTT-3.1.3-9] [MQTT-3.2.2-4] [MQTT-3.2.2-5]"""
    client = dial(version)
    assert client.connect("", clean_start=False).reason_code == 2
    client.assert_closed()


# ---- acceptance and refusal

@every_version
def test_one_connack_with_its_reserved_bits_clear(dial, version):
    """[MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-1]; 3.1.1: [MQTT-3.1.4-4]"""
    name = next(NAMES)
    for _ in range(2):
        client = dial(version)
        client.connect(name, clean_start=False, **kept(version))
        client.sock.close()
    client = dial(version)
    client.raw(encode(Connect(name, version, clean_start=False, properties={}), version))
    raw = client.raw_packet()
    flags = raw[2]
    assert (raw[0], flags & 0xFE, raw[3]) == (0x20, 0, 0)
    assert all(kind(packet) != "Connack" for packet in client.packets())


@pytest.mark.parametrize("version", [4, 5])
def test_nothing_is_done_after_a_refused_connect(dial, version):
    """[MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7]; 3.1.1: [MQTT-3.1.4-5] [MQTT-3.2.2-4] [MQTT-3.2.2-5]"""
    topic = f"conform/refused/{version}"
    client = dial(version)
    refused = (Connect("", 4, clean_start=False) if version == 4 else
               Connect("x", 5, properties={"authentication_method": "none such"}))
    client.raw(encode(refused, version) + encode(PublishPacket(topic, b"late", 0, True), version))
    connack = client.packet()
    assert (connack.session_present, connack.reason_code) == (False, 2 if version == 4 else 0x8C)
    client.assert_closed()
    reader = dial()
    reader.connect(next(NAMES))
    reader.subscribe(topic)
    assert reader.packets() == []


@every_version
def test_packets_may_follow_connect_at_once(dial, version):
    """Section 3.1.4: a client need not wait for CONNACK."""
    client = dial(version)
    client.raw(encode(Connect(next(NAMES), version), version) + encode(Subscribe(7, [("conform/now", 1)]), version))
    assert kind(client.packet()) == "Connack"
    assert client.packet().packet_id == 7


def test_what_a_limited_broker_announces_and_refuses(dial, start_broker):
    """[MQTT-3.2.2-9] to [MQTT-3.2.2-13] [MQTT-3.1.2-21] [MQTT-3.2.2-22]: QoS, retain, keep alive, subscriptions"""
    limited = start_broker({
        "EMQX_MQTT__MAX_QOS_ALLOWED": "1", "EMQX_MQTT__RETAIN_AVAILABLE": "false",
        "EMQX_MQTT__WILDCARD_SUBSCRIPTION": "false", "EMQX_MQTT__SHARED_SUBSCRIPTION": "false",
        "EMQX_ZONE__EXTERNAL__SERVER_KEEPALIVE": "1", "EMQX_MQTT__MAX_PACKET_SIZE": "1KB",
    })
    port = limited.mqtt_port
    client = dial(5, port)
    announced = client.connect("limited", keepalive=600).properties
    assert (announced["maximum_qos"], announced["retain_available"], announced["server_keep_alive"],
            announced["wildcard_subscription_available"], announced["shared_subscription_available"],
            announced["maximum_packet_size"]) == (1, 0, 1, 0, 0, 1024)
    suback = client.subscribe("t", "a/#", "$share/g/t", options=2)
    assert suback.reason_codes == [1, 0xA2, 0x9E]  # [MQTT-3.2.2-10]
    assert client.packet().reason_code == 0x8D  # the server's keep alive, not the client's
    client.assert_closed()
    for offence, code in (
        (lambda c: c.publish("t", qos=2), 0x9B), (lambda c: c.publish("t", retain=True), 0x9A),
        (lambda c: c.publish("t", bytes(2000)), 0x95), (lambda c: c.publish("t", topic_alias=65), 0x94),
    ):
        client = dial(5, port)
        client.connect("offender")
        offence(client)
        assert client.packet().reason_code == code
        client.assert_closed()
    for will, code in ((Will("t", b"", 2), 0x9B), (Will("t", b"", 0, True), 0x9A)):
        client = dial(5, port)
        assert client.connect("offender", will=will).reason_code == code
        client.assert_closed()
    old = dial(4, port)
    assert old.connect("old").reason_code == 0
    assert old.subscribe("t", "a/#", options=2).reason_codes == [1, 0x80]


@every_version
def test_keep_alive(dial, version):
    """[MQTT-3.1.2-22]; 3.1.1: [MQTT-3.1.2-24]: closed after one and a half times the period, not before it."""
    client = dial(version)
    client.connect(next(NAMES), keepalive=1)
    began = time.monotonic()
    while time.monotonic() < began + 2:
        assert client.packets() == []
        time.sleep(0.3)
    began = time.monotonic()
    packet = client.packet()
    if version == 5:
        assert packet.reason_code == 0x8D
        packet = client.packet()
    assert packet is None
    assert time.monotonic() - began > 1


# ---- wills

@pytest.fixture
def watcher(dial):
    client = dial()
    client.connect(next(NAMES))
    client.subscribe("conform/will/#", options=2 | 8)
    return client


def drop(client: Client) -> None:
    """The connection breaks without DISCONNECT."""
    client.sock.close()


@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_a_will_is_published(dial, watcher, version, qos, retain):
    """[MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-14] [MQTT-3.1.2-15]; 3.1.1: [MQTT-3.1.2-16] [MQTT-3.1.2-17]"""
    topic = f"conform/will/{version}/{qos}{retain:d}"
    client = dial(version)
    client.connect(next(NAMES), will=Will(topic, b"gone", qos, retain))
    drop(client)
    will = watcher.packet()
    assert (will.topic, will.payload, will.qos, will.retain) == (topic, b"gone", qos, retain)
    late = dial()
    late.connect(next(NAMES))
    late.subscribe(topic, options=2)
    assert [(message.payload, message.retain) for message in late.packets()] == [(b"gone", True)] * retain
    late.publish(topic, b"", retain=True)
    late.packets()


@every_version
def test_no_will_after_a_normal_end(dial, watcher, version):
    """[MQTT-3.1.2-10] [MQTT-3.14.4-3]"""
    client = dial(version)
    client.connect(next(NAMES), will=Will("conform/will/normal", b"x"))
    client.disconnect()
    client.assert_closed()
    assert watcher.packets() == []


@every_version
def test_a_will_is_published_once(dial, watcher, version):
    """[MQTT-3.1.2-10] [MQTT-3.1.2-12]: removed once published; a connection without a will has none."""
    name = next(NAMES)
    client = dial(version)
    client.connect(name, clean_start=False, will=Will("conform/will/once", b"x"), **kept(version))
    drop(client)
    assert watcher.packet().topic == "conform/will/once"
    client = dial(version)
    client.connect(name, clean_start=False, **kept(version))
    drop(client)
    assert watcher.silent()


def test_disconnect_with_will(dial, watcher):
    client = dial()
    client.connect(next(NAMES), will=Will("conform/will/asked", b"x"))
    client.disconnect(0x04)
    client.assert_closed()
    assert watcher.packet().topic == "conform/will/asked"


@every_version
def test_a_will_after_a_protocol_error(dial, watcher, version):
    """[MQTT-3.1.2-8]: any end but DISCONNECT 0x00"""
    client = dial(version)
    client.connect(next(NAMES), will=Will("conform/will/error", b"x"))
    client.raw(b"\x00\x00")
    assert watcher.packet().topic == "conform/will/error"


def test_a_will_of_a_session_taken_over(dial, watcher):
    """Section 3.1.4: the existing connection is closed, and the session with it ends when the start is clean."""
    name = next(NAMES)
    dial().connect(name, will=Will("conform/will/taken", b"x"))
    dial().connect(name)
    assert watcher.packet().topic == "conform/will/taken"


def test_a_delayed_will_is_cancelled_by_a_reconnect(dial, watcher):
    """[MQTT-3.1.3-9]"""
    name = next(NAMES)
    will = Will("conform/will/delayed", b"x", properties={"will_delay_interval": 1})
    first = dial()
    first.connect(name, clean_start=False, session_expiry_interval=60, will=will)
    drop(first)
    assert watcher.silent()
    dial().connect(name, clean_start=False, session_expiry_interval=60)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert watcher.silent()


def test_a_delayed_will_goes_out_after_its_delay_or_with_the_session(dial, watcher):
    """[MQTT-3.1.2-8]"""
    for expiry, delay in ((60, 1), (1, 60)):
        client = dial()
        client.connect(next(NAMES), session_expiry_interval=expiry,
                       will=Will("conform/will/late", b"x", properties={"will_delay_interval": delay}))
        drop(client)
        assert watcher.silent()
        assert watcher.packet().topic == "conform/will/late"
    name = next(NAMES)
    client = dial()
    client.connect(name, session_expiry_interval=60,
                   will=Will("conform/will/ended", b"x", properties={"will_delay_interval": 60}))
    drop(client)
    dial().connect(name, clean_start=True)
    assert watcher.packet().topic == "conform/will/ended"


def test_a_will_keeps_its_properties(dial, watcher):
    """[MQTT-3.1.3-10] and section 3.1.3.2"""
    properties = {"payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "conform/answer",
                  "correlation_data": b"\x00\xff", "user_property": [("b", "1"), ("a", "2"), ("b", "1")]}
    client = dial()
    client.connect(next(NAMES), will=Will("conform/will/properties", b"x",
                                          properties={**properties, "message_expiry_interval": 100}))
    drop(client)
    got = watcher.packet().properties
    assert got.pop("message_expiry_interval") in (99, 100)
    assert got == properties


# ---- what a client asks for in CONNECT

def test_response_information(dial):
    """[MQTT-3.1.2-28]"""
    name = next(NAMES)
    assert "response_information" not in dial().connect(name).properties
    assert "response_information" not in dial().connect(name, request_response_information=0).properties
    assert dial().connect(name, request_response_information=1).properties["response_information"].endswith(name)


def test_reason_strings_only_for_those_who_ask(dial):
    """[MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.14.2-3]"""
    for properties, told in (({}, False), ({"request_problem_information": 0}, False),
                             ({"request_problem_information": 1}, True),
                             ({"request_problem_information": 1, "maximum_packet_size": 10}, False)):
        client = dial()
        refusal = client.connect("x" * 9, authentication_method="none such", **properties)
        assert ("reason_string" in refusal.properties) is told
        client = dial()
        client.connect(next(NAMES), **properties | ({"maximum_packet_size": 60} if "maximum_packet_size" in properties
                                                    else {}))
        client.ack(PUBACK, 7, 0x92)
        assert ("reason_string" in client.packet().properties) is told or "maximum_packet_size" in properties


def test_reason_strings_in_pubrel_and_pubcomp(dial):
    """[MQTT-3.6.2-2] [MQTT-3.7.2-2]"""
    for limit, told in ((1000, True), (64, True), (None, True)):
        client = dial()
        client.connect(next(NAMES), request_problem_information=1,
                       **({} if limit is None else {"maximum_packet_size": limit}))
        client.ack(PUBREC, 99)
        client.ack(PUBREL, 99)
        for answer in (client.packet(), client.packet()):
            assert (answer.packet_id, answer.reason_code) == (99, 0x92)
            assert ("reason_string" in answer.properties) is told
    client = dial()
    client.connect(next(NAMES), request_problem_information=1, maximum_packet_size=30)
    client.ack(PUBREC, 99)
    assert len(client.raw_packet()) <= 30


def test_reason_strings_in_suback(dial, start_broker):
    """[MQTT-3.9.2-1]"""
    port = start_broker({"EMQX_MQTT__WILDCARD_SUBSCRIPTION": "false"}).mqtt_port
    for filters, properties, told in (
        (["#"], {"request_problem_information": 1}, True), (["t"], {"request_problem_information": 1}, False),
        (["#"], {}, False), (["#"] * 40, {"request_problem_information": 1, "maximum_packet_size": 70}, False),
    ):
        client = dial(5, port)
        client.connect("suback", **properties)
        suback = client.subscribe(*filters)
        assert ("reason_string" in suback.properties) is told


@pytest.mark.parametrize("limit", [12, 20, 40])
def test_no_packet_is_larger_than_the_client_takes(dial, limit):
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]: what is too large is dropped as if it had been sent, the rest arrives"""
    client, sender = dial(), dial()
    client.connect("z", maximum_packet_size=limit)
    sender.connect(next(NAMES))
    client.subscribe("cz", options=2)
    for qos in (0, 1, 2):
        sender.publish("cz", bytes(limit), qos=qos, packet_id=qos and 20 + qos)
        sender.publish("cz", b"ok", qos=qos, packet_id=qos and 30 + qos)
    for _ in range(4):
        sender.packet()
    sender.packets()
    got = [client.raw_packet() for _ in range(3)]
    assert all(len(raw) <= limit for raw in got)
    assert [raw[-2:] for raw in got] == [b"ok"] * 3
    assert client.silent()


def test_a_connack_fits_into_what_the_client_takes(dial):
    """[MQTT-3.1.2-24]"""
    for limit in (9, 15, 20):
        client = dial()
        client.raw(encode(Connect("small", 5, properties={"maximum_packet_size": limit}), 5))
        assert len(client.raw_packet()) <= limit
        client.disconnect()
        client.assert_closed()


# ---- DISCONNECT

@every_version
def test_nothing_comes_after_disconnect(dial, version):
    """[MQTT-3.14.4-1] [MQTT-3.14.4-2] and 3.1.1: the server closes if the client does not"""
    client = dial(version)
    client.connect(next(NAMES))
    client.subscribe("conform/after")
    client.disconnect()
    client.assert_closed()


def test_a_disconnect_of_the_broker_is_its_last_word(dial):
    """[MQTT-3.14.0-1] [MQTT-3.14.2-2] [MQTT-3.14.4-1] [MQTT-4.13.1-1] [MQTT-4.13.2-1]"""
    client = dial()
    client.connect(next(NAMES))
    client.raw(b"\xd0\x00" + b"\xc0\x00" * 3)
    last = client.packet()
    assert (kind(last), last.reason_code, last.properties) == ("Disconnect", 0x82, {})
    client.assert_closed()
