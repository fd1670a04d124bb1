"""How long a session, a message and a will last."""

from __future__ import annotations

import gevent
import pytest

from tests.clients.raw import CONNACK, DISCONNECT, PUBLISH, Closed, Raw
from tests.harness import Bench

VERSIONS = [3, 4, 5]


def present(bench: Bench, client_id: str, version: int = 5, **options: object) -> bool:
    client = bench.client(client_id, version, clean=False, **options)
    bench.gone(client)
    return client.connack.present


# -- session expiry -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "waits", "there"), [
    (None, 0, False), (0, 0, False), (10, 9, True), (10, 11, False), (0xFFFFFFFF, 10_000_000, True)])
def test_session_expiry(asked: int | None, waits: int, there: bool):
    """Section 3.1.2.11.2: absent and 0 end with the connection, 0xFFFFFFFF never."""
    bench = Bench()
    options = {} if asked is None else {"session_expiry": asked}
    client = bench.client("client", **options)
    client.subscribe("t")
    bench.gone(client)
    bench.later(waits)
    assert present(bench, "client", session_expiry=5) is there


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize(("waits", "there"), [(99, True), (101, False)])
def test_mqtt_3_sessions_last_as_the_zone_says(version: int, waits: int, there: bool):
    bench = Bench(session_expiry_interval=100)
    bench.gone(bench.client("client", version, clean=False))
    bench.later(waits)
    assert present(bench, "client", version) is there


def test_a_clean_session_leaves_nothing():
    """[MQTT-3.1.2-6]"""
    bench = Bench()
    bench.gone(bench.client("client", 4, clean=True))
    assert not bench.broker.sessions
    assert not present(bench, "client", 4)


@pytest.mark.parametrize(("asked", "changed", "waits", "there"), [
    (100, 0, 0, False), (100, 10, 20, False), (10, 100, 50, True), (10, None, 5, True)])
def test_disconnect_may_change_the_expiry(asked: int, changed: int | None, waits: int, there: bool):
    """Section 3.14.2.2.2"""
    bench = Bench()
    client = bench.client("client", session_expiry=asked)
    client.disconnect(**({} if changed is None else {"session_expiry": changed}))
    bench.later(waits)
    assert present(bench, "client") is there


def test_disconnect_cannot_revive_a_session():
    """Section 3.14.2.2.2: zero in CONNECT and more in DISCONNECT is a protocol error."""
    bench = Bench()
    client = bench.client("client")
    client.send(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x05")
    client.expect(DISCONNECT, code=0x82)
    client.closed()


def test_the_servers_cap():
    """Section 3.2.2.3.2: the cap is told in CONNACK, and holds at DISCONNECT."""
    bench = Bench(max_session_expiry=60)
    client = bench.client("client", session_expiry=0xFFFFFFFF)
    assert client.connack.props["session_expiry"] == 60
    client.disconnect(session_expiry=1000)
    bench.later(61)
    assert not present(bench, "client")
    assert "session_expiry" not in bench.client("other", session_expiry=60).connack.props


def test_an_expired_session_has_lost_its_subscriptions_and_messages():
    """[MQTT-4.1.0-2]"""
    bench = Bench()
    client = bench.client("client", session_expiry=10)
    client.subscribe("t", qos=1)
    bench.gone(client)
    bench.client("writer").publish("t", b"", 1)
    bench.later(11)
    assert bench.broker.router.counts.subscriptions == 0
    bench.client("client").silent()


# -- message expiry -----------------------------------------------------------------------------------


def test_the_remaining_time_is_passed_on():
    """[MQTT-3.3.2-6]"""
    bench = Bench()
    reader = bench.client("reader", session_expiry=1000)
    reader.subscribe("t", qos=1)
    bench.gone(reader)
    writer = bench.client("writer")
    for expiry in (100, 10, 1000):
        writer.publish("t", b"%d" % expiry, 1, message_expiry=expiry)
    writer.publish("t", b"for ever", 1)
    bench.later(30)
    reader = bench.client("reader", clean=False)
    packets = [reader.message() for _ in range(3)]
    assert [packet.payload for packet in packets] == [b"100", b"1000", b"for ever"]
    assert [packet.props.get("message_expiry") for packet in packets] == [70, 970, None]
    reader.silent()
    assert bench.broker.metrics()["messages/expired"] == 1


@pytest.mark.parametrize("qos", [0, 1])
def test_an_interval_of_nothing_is_passed_on(qos: int):
    """[MQTT-3.3.2-6] Who is there gets it at once, who is away never."""
    bench = Bench()
    reader, absent = (bench.client(name, session_expiry=1000) for name in ("reader", "absent"))
    for client in (reader, absent):
        client.subscribe("t", qos=qos)
    bench.gone(absent)
    bench.client("writer").publish("t", b"now", qos, message_expiry=0)
    assert reader.message().props == {"message_expiry": 0}
    bench.client("absent", clean=False).silent()


def test_what_was_not_sent_in_time_is_not_sent():
    """[MQTT-3.3.2-5] Also behind a full window."""
    bench = Bench(max_inflight=1)
    reader = bench.client("reader", 4)
    reader.subscribe("t", qos=1)
    writer = bench.client("writer")
    writer.publish("t", b"first", 1)
    writer.publish("t", b"late", 1, message_expiry=5)
    writer.publish("t", b"last", 1, message_expiry=50)
    packet = reader.expect(PUBLISH, payload=b"first")
    bench.later(10)
    reader.ack(4, packet.pid)
    assert reader.message().payload == b"last"


def test_retained_messages_expire():
    bench = Bench()
    writer = bench.client("writer")
    writer.publish("short", b"x", 1, retain=True, message_expiry=10)
    writer.publish("long", b"x", 1, retain=True, message_expiry=100)
    bench.later(20)
    reader = bench.client("reader")
    reader.subscribe("#")
    packet = reader.message()
    assert (packet.topic, packet.props["message_expiry"]) == ("long", 80)
    reader.silent()
    assert len(bench.engine.retained) == 1  # swept


def test_an_online_subscriber_gets_the_interval_as_it_came():
    bench = Bench()
    reader = bench.client("reader")
    reader.subscribe("t")
    bench.client("writer").publish("t", b"", 0, message_expiry=33)
    assert reader.message().props == {"message_expiry": 33}


# -- wills --------------------------------------------------------------------------------------------


DELAYED = {"will": ("will/t", b"", 0, False), "will_props": {"will_delay": 10}}


def witness(bench: Bench, qos: int = 2, options: int = 0) -> Raw:
    reader = bench.client("witness")
    reader.subscribe(("will/#", qos | options))
    return reader


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_sent_when_the_connection_breaks(version: int, qos: int):
    """[MQTT-3.1.2-8]"""
    bench = Bench()
    reader = witness(bench)
    bench.gone(bench.client("client", version, will=("will/t", b"gone", qos, False)))
    packet = reader.message()
    assert (packet.topic, packet.payload, packet.qos, packet.retain) == ("will/t", b"gone", qos, False)
    reader.silent()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_will_after_disconnect(version: int):
    """[MQTT-3.1.2-10] [MQTT-3.14.4-3]"""
    bench = Bench()
    reader = witness(bench)
    bench.client("client", version, will=("will/t", b"gone", 1, False)).disconnect()
    reader.silent()


def test_disconnect_with_will_message():
    """Reason 0x04; any other that is not 0x00 counts as abnormal too."""
    bench = Bench()
    reader = witness(bench)
    bench.client("a", will=("will/a", b"", 0, False)).disconnect(0x04)
    bench.client("b", will=("will/b", b"", 0, False)).disconnect(0x81)
    assert [reader.message().topic, reader.message().topic] == ["will/a", "will/b"]


def test_a_protocol_error_sends_the_will():
    bench = Bench()
    reader = witness(bench)
    client = bench.client("client", will=("will/t", b"", 0, False))
    client.send(client.connect_packet("client"))  # [MQTT-3.1.0-2]
    assert reader.message().topic == "will/t"


def test_silence_sends_the_will():
    """[MQTT-3.1.2-22] One and a half keepalives without a byte."""
    bench = Bench()
    reader = witness(bench)
    client = bench.client("client", keepalive=10, will=("will/t", b"", 0, False))
    bench.later(14)
    reader.silent()
    client.silent()
    bench.later(16)
    assert reader.message().topic == "will/t"
    assert bench.door.ended == ["keepalive_timeout"]


def test_a_retained_will():
    """[MQTT-3.1.2-15]; 3.1.1: [MQTT-3.1.2-17]"""
    bench = Bench()
    bench.gone(bench.client("client", will=("will/t", b"gone", 1, True)))
    reader = witness(bench)
    assert reader.message().retain


def test_will_properties_are_passed_on():
    """Section 3.1.3.2; Will Delay Interval stays behind."""
    bench = Bench()
    reader = witness(bench)
    properties = {"will_delay": 0, "payload_format": 1, "message_expiry": 99, "content_type": "text/plain",
                  "response_topic": "answers", "correlation_data": b"\x00\x01",
                  "user_property": [("a", "1"), ("a", "2")]}
    bench.gone(bench.client("client", will=("will/t", b"", 0, False), will_props=properties))
    del properties["will_delay"]
    assert reader.message().props == properties


def test_a_will_waits_for_its_delay():
    """[MQTT-3.1.3-9]"""
    bench = Bench()
    reader = witness(bench)
    bench.gone(bench.client("client", session_expiry=100, **DELAYED))
    bench.later(9)
    reader.silent()
    bench.later(2)
    assert reader.message().topic == "will/t"
    bench.later(200)
    reader.silent()  # and comes once


def test_a_reconnect_takes_a_waiting_will_back():
    """[MQTT-3.1.3-9]"""
    bench = Bench()
    reader = witness(bench)
    bench.gone(bench.client("client", session_expiry=100, **DELAYED))
    bench.later(5)
    bench.client("client", clean=False, session_expiry=100)
    bench.later(50)
    reader.silent()


@pytest.mark.parametrize("how", ["expiry", "clean start", "no expiry at all"])
def test_the_end_of_the_session_sends_a_waiting_will(how: str):
    """[MQTT-3.1.2-8] Whichever comes first: the delay, or the end of the session."""
    bench = Bench()
    reader = witness(bench)
    expiry = 0 if how == "no expiry at all" else 20
    bench.gone(bench.client("client", session_expiry=expiry, **(DELAYED | {"will_props": {"will_delay": 50}})))
    if how == "expiry":
        bench.later(21)
    elif how == "clean start":
        bench.client("client")
    assert reader.message().topic == "will/t"
    bench.later(100)
    reader.silent()


def test_take_over_sends_the_will_of_the_old_connection():
    """[MQTT-3.1.4-3] With a delay of 0; one with a delay is taken back by the same CONNECT."""
    bench = Bench()
    reader = witness(bench)
    clients = [
        bench.client("a", session_expiry=100, will=("will/a", b"", 0, False)),
        bench.client("b", session_expiry=100, will=("will/b", b"", 0, False), will_props={"will_delay": 5}),
        bench.client("a", clean=False, session_expiry=100),
        bench.client("b", clean=False, session_expiry=100),
    ]
    clients[2].silent()
    assert reader.message().topic == "will/a"
    bench.later(10)
    reader.silent()


def test_each_connection_has_its_own_will():
    bench = Bench()
    reader = witness(bench)
    bench.gone(bench.client("client", session_expiry=100, will=("will/1", b"", 0, False)))
    bench.gone(bench.client("client", clean=False, session_expiry=100))
    bench.gone(bench.client("client", clean=False, session_expiry=100, will=("will/2", b"", 0, False)))
    assert [reader.message().topic, reader.message().topic] == ["will/1", "will/2"]
    reader.silent()


@pytest.mark.parametrize(("zone", "will", "code"), [
    ({"max_qos_allowed": 1}, ("t", b"", 2, False), 0x9B),
    ({"retain_available": False}, ("t", b"", 0, True), 0x9A),
])
def test_a_will_beyond_the_servers_limits(zone: dict[str, object], will: tuple[str, bytes, int, bool], code: int):
    """[MQTT-3.2.2-12] [MQTT-3.2.2-13]"""
    client = Bench(**zone).open()
    client.connect("client", code=code, will=will)
    client.closed()


# -- take-over ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("clean", [True, False])
def test_take_over(version: int, clean: bool):
    """[MQTT-3.1.4-3] The old connection is closed, in MQTT 5 with DISCONNECT 0x8E; the session goes over."""
    bench = Bench()
    old = bench.client("client", version, clean=False, **({"session_expiry": 100} if version == 5 else {}))
    old.subscribe("t", qos=1)
    new = bench.client("client", version, clean=clean)
    assert new.connack.present is not clean
    if version == 5:
        old.expect(DISCONNECT, code=0x8E)
    with pytest.raises(Closed):
        old.packet()
    assert bench.door.ended == ["discard" if clean else "conflict"]
    bench.client("writer").publish("t", b"", 1)
    if clean:
        new.silent()
    else:
        new.message()


def test_two_connects_of_one_client_id_that_wait_for_their_verdicts():
    """[MQTT-3.1.4-3] The one that is decided later has the session, and the other is closed."""
    bench = Bench()
    decided: list[str] = []

    def slowly(_client: object) -> bool:
        while not decided:
            gevent.sleep(0.001)
        return True

    bench.broker.hooks.add("client.authenticate", slowly, blocking=True)
    clients = [bench.open(4), bench.open(4)]
    for client in clients:
        client.send(client.connect_packet("same", clean=False))
        bench.turn()
    decided.append("both")
    packets = [client.expect(CONNACK, code=0) for client in clients]
    assert sorted(packet.present for packet in packets) == [False, True]
    loser, winner = sorted(clients, key=lambda client: packets[clients.index(client)].present)
    loser.closed()
    winner.silent()
    assert bench.broker.online == 1
