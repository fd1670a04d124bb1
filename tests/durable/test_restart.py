"""What survives kill -9 of master, worker and store process, and a graceful stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Raw, connected

Start = Callable[..., BrokerProcess]

PRIORITIES = {"EMQX_ZONE__EXTERNAL__MQUEUE_PRIORITIES": "high=2,low=1"}
TWO_OF_EACH = PRIORITIES | {"EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "2"}


def again(broker: BrokerProcess, how: str) -> BrokerProcess:
    """The same broker after a power cut, or after a stop."""
    if how == "kill":
        broker.kill9()
    else:
        assert broker.stop() == 0, broker.stderr
    return broker.start()


def subscribed_to_both(broker: BrokerProcess, client_id: str) -> Raw:
    """A client with a session, subscribed to a topic of either priority."""
    client = connected(broker.mqtt_port, client_id)
    client.subscribe("high", qos=1)
    client.subscribe("low", qos=1)
    return client


@pytest.fixture(params=["kill", "stop"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_sessions_and_subscriptions(start_broker: Start, how: str):
    """[MQTT-3.1.2-5] [MQTT-3.2.2-2] Subscriptions with their options, shared ones too; clean sessions are gone."""
    broker = start_broker()
    keeper = connected(broker.mqtt_port, "keeper", version=5, session_expiry=3600)
    keeper.subscribe(("a/+", 0x09), subscription_id=7)  # QoS 1, Retain As Published
    keeper.subscribe("$share/g/b/#", qos=2)
    keeper.subscribe("gone", qos=1)
    keeper.unsubscribe("gone")
    connected(broker.mqtt_port, "clean", clean=True).subscribe("c", qos=1)
    again(broker, how)
    rows = broker.api("GET", "subscriptions/keeper").json()
    assert sorted((row["topic"], row["qos"]) for row in rows) == [("a/+", 1), ("b/#", 2)]
    assert broker.api("GET", "subscriptions/clean").json() == []
    assert not connected(broker.mqtt_port, "clean", clean=False).connack.present
    keeper = connected(broker.mqtt_port, "keeper", version=5, session_expiry=3600)
    assert keeper.connack.present
    connected(broker.mqtt_port, "publisher", version=5, clean=True).send_publish("a/x", b"1", 1, 1, retain=True)
    got = keeper.expect(PUBLISH)
    assert got.retain
    assert got.props["subscription_id"] == [7]


def test_retained(start_broker: Start, how: str):
    """[MQTT-3.3.1-5] [MQTT-3.3.1-6] Retained messages, and their removal."""
    broker = start_broker()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid, (topic, payload) in enumerate([("r/1", b"one"), ("r/2", b"two"), ("r/1", b"three"), ("r/2", b"")], 1):
        publisher.send_publish(topic, payload, 1, pid, retain=True)
        publisher.expect(PUBACK)
    again(broker, how)
    subscriber = connected(broker.mqtt_port, "subscriber", clean=True)
    subscriber.subscribe("r/#", qos=1)
    got = subscriber.expect(PUBLISH)
    assert (got.topic, got.payload, got.retain) == ("r/1", b"three", True)
    assert subscriber.receive(within=0.3) is None


def test_retained_messages_on_their_way(start_broker: Start, how: str):
    """What a subscription that was acknowledged has not got yet, it gets afterwards."""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "1"})
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for i in range(1, 21):
        publisher.send_publish(f"kept/{i}", b"x", 1, i, retain=True)
        publisher.expect(PUBACK)
    reader = connected(broker.mqtt_port, "reader")
    reader.subscribe("kept/+", qos=1)
    first = reader.expect(PUBLISH)
    again(broker, how)
    reader, topics = connected(broker.mqtt_port, "reader"), []
    while len(set(topics)) < 20:
        got = reader.message()
        assert got.retain
        topics.append(got.topic)
    assert topics[0] == first.topic
    reader.silent()   # the last acknowledgement was read
    again(broker, how)
    reader = connected(broker.mqtt_port, "reader")
    got = reader.receive(within=0.5)
    assert got is None or how == "kill"


def test_replaced_while_retained_messages_are_on_their_way(start_broker: Start):
    """[MQTT-3.8.4-3] The options are those of the latest SUBSCRIBE."""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "1"})
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for i in (1, 2):
        publisher.send_publish(f"kept/{i}", b"x", 1, i, retain=True)
        publisher.expect(PUBACK)
    reader = connected(broker.mqtt_port, "reader", version=5, session_expiry=3600)
    reader.subscribe("kept/+", qos=1)
    first = reader.expect(PUBLISH)
    reader.subscribe(("kept/+", 0x20))     # QoS 0, no retained messages
    reader.ack(PUBACK, first.pid)
    reader.message()
    reader.silent()
    again(broker, "stop")
    assert [row["qos"] for row in broker.api("GET", "subscriptions/reader").json()] == [0]


def test_two_names_of_one_shared_subscription(start_broker: Start):
    """`$queue/a` is the group `$queue`, which `$share/$queue/a` names as well."""
    broker = start_broker()
    for name, first, then in (("1", "$queue/a", "$share/$queue/a"), ("2", "$share/$queue/a", "$queue/a")):
        member = connected(broker.mqtt_port, name)
        member.subscribe(first, qos=1)
        member.unsubscribe(then)
        assert broker.api("GET", f"subscriptions/{name}").json() == []
    again(broker, "kill")
    assert [broker.api("GET", f"subscriptions/{name}").json() for name in "12"] == [[], []]


def test_queued_messages_in_order(start_broker: Start, how: str):
    """[MQTT-3.1.2-5] Acknowledged messages for an absent client, more than one page of them, in order."""
    broker = start_broker()
    connected(broker.mqtt_port, "absent").subscribe("q", qos=1)
    absent = connected(broker.mqtt_port, "absent")
    absent.disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for i in range(1, 901):
        publisher.send_publish("q", b"%d" % i, 1, i)
    for i in range(1, 901):
        assert publisher.expect(PUBACK).pid == i
    again(broker, how)
    wait_until(lambda: broker.api("GET", "sessions/absent").json()[0]["mqueue_len"] == 900, 10)
    absent = connected(broker.mqtt_port, "absent")
    assert absent.connack.present
    for i in range(1, 901):
        assert absent.message().payload == b"%d" % i
    assert absent.receive(within=0.3) is None
    again(broker, how)
    absent = connected(broker.mqtt_port, "absent")
    got = absent.receive(within=0.5)
    assert got is None or how == "kill"


def test_each_priority_has_its_own_limit(start_broker: Start):
    """`max_mqueue_len` and `mqueue_priorities` of an absent client, and the order of priorities over a restart."""
    broker = start_broker(TWO_OF_EACH)
    subscribed_to_both(broker, "absent").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid, (topic, payload) in enumerate([(topic, payload) for payload in (b"1", b"2", b"3")
                                            for topic in ("low", "high")], 1):
        publisher.send_publish(topic, payload, 1, pid)
        publisher.expect(PUBACK)
    again(broker, "kill")
    absent = connected(broker.mqtt_port, "absent")
    got = [absent.expect(PUBLISH) for _ in range(4)]
    assert [(one.topic, one.payload) for one in got] == [("high", b"2"), ("high", b"3"), ("low", b"2"), ("low", b"3")]
    assert absent.receive(within=0.3) is None


def test_in_flight_keeps_packet_ids(start_broker: Start, how: str):
    """[MQTT-4.4.0-1] Unacknowledged messages are sent again with their packet ids, before the queue."""
    broker = start_broker()
    slow = connected(broker.mqtt_port, "slow")
    slow.subscribe("q", qos=1)
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for i in range(1, 41):
        publisher.send_publish("q", b"%d" % i, 1, i)
        publisher.expect(PUBACK)
    before = {got.payload: got.pid for got in (slow.expect(PUBLISH) for _ in range(32))}
    again(broker, how)
    slow = connected(broker.mqtt_port, "slow")
    for i in range(1, 33):
        got = slow.expect(PUBLISH)
        assert (got.payload, got.pid, got.dup) == (b"%d" % i, before[b"%d" % i], True)
    for pid in before.values():
        slow.ack(PUBACK, pid)
    assert [slow.expect(PUBLISH).payload for _ in range(8)] == [b"%d" % i for i in range(33, 41)]


def test_qos2_in_both_directions(start_broker: Start, how: str):
    """[MQTT-4.3.3-1] to [MQTT-4.3.3-13] Each exchange goes on where it was; nothing is delivered twice."""
    broker = start_broker()
    reader = connected(broker.mqtt_port, "reader")
    reader.subscribe("q", qos=2)
    writer = connected(broker.mqtt_port, "writer")
    writer.send_publish("q", b"one", 2, 1)
    assert writer.expect(PUBREC).pid == 1
    got = reader.expect(PUBLISH)
    assert (got.payload, got.qos) == (b"one", 2)
    reader.ack(PUBREC, got.pid)
    assert reader.expect(PUBREL).pid == got.pid
    again(broker, how)
    writer = connected(broker.mqtt_port, "writer")
    writer.send_publish("q", b"one", 2, 1, dup=True)     # its PUBREC may have been lost
    assert writer.expect(PUBREC).pid == 1
    writer.ack(PUBREL, 1)
    assert writer.expect(PUBCOMP).pid == 1
    reader = connected(broker.mqtt_port, "reader")
    assert reader.expect(PUBREL).pid == got.pid
    reader.ack(PUBCOMP, got.pid)
    assert reader.receive(within=0.3) is None
    again(broker, how)
    writer = connected(broker.mqtt_port, "writer")
    writer.send_publish("q", b"two", 2, 1)               # the id is free again
    writer.expect(PUBREC)
    reader = connected(broker.mqtt_port, "reader")
    second = reader.expect(PUBLISH)
    assert second.payload == b"two"


def test_expiry_and_ended_sessions(start_broker: Start, how: str):
    """[MQTT-3.1.2-4] A session that was ended stays ended; the expiry clock of one that was left runs on."""
    broker = start_broker()
    connected(broker.mqtt_port, "ended").subscribe("q", qos=1)
    connected(broker.mqtt_port, "ended", clean=True).drop()
    short = connected(broker.mqtt_port, "short", version=5, session_expiry=1)
    short.subscribe("q", qos=1)
    short.disconnect()
    again(broker, how)
    wait_until(lambda: broker.api("GET", "sessions/short").json() == [], 10, "the end of the session")
    assert not connected(broker.mqtt_port, "ended").connack.present
    assert not connected(broker.mqtt_port, "short", version=5, session_expiry=1).connack.present


def test_will_of_a_persistent_session(start_broker: Start):
    """MQTT 5.0, 3.1.3.2.2: a will whose delay runs is sent after a restart, unless the client comes back."""
    broker = start_broker()
    watcher = connected(broker.mqtt_port, "watcher")
    watcher.subscribe("will/#", qos=1)
    for name, delay in (("one", 3), ("two", 500)):
        connected(broker.mqtt_port, name, version=5, session_expiry=600,
                  will=(f"will/{name}", name.encode(), 0, False), will_props={"will_delay": delay}).drop()
    wait_until(lambda: not broker.api("GET", "connections/two").json(), 10)
    again(broker, "kill")
    connected(broker.mqtt_port, "two", version=5, session_expiry=600).disconnect()
    watcher = connected(broker.mqtt_port, "watcher")
    assert watcher.expect(PUBLISH).topic == "will/one"
    assert watcher.receive(within=1) is None


@pytest.mark.parametrize("version", [4, 5])
def test_will_of_a_session_that_ends_with_its_connection(start_broker: Start, version: int):
    """[MQTT-3.1.2-8] A broker that is killed closes the connections too: their wills go out at its next start, once,
    but not those of clients that left with DISCONNECT [MQTT-3.14.4-3]. An "online" does not stand for ever."""
    broker = start_broker()
    connected(broker.mqtt_port, "reader").subscribe("state/#", qos=1)
    left, gone = (connected(broker.mqtt_port, name, version=version, clean=True,
                            will=(f"state/{name}", b"offline", 0, False))
                  for name in ("left", "gone"))
    left.disconnect()
    wait_until(lambda: not broker.api("GET", "connections/left").json())
    gone.send_publish("kept", b"x", 1, 7, retain=True)
    gone.expect(PUBACK)  # what the broker was told before is on disk as well
    again(broker, "kill")
    reader = connected(broker.mqtt_port, "reader")
    message = reader.message()
    assert (message.topic, message.payload) == ("state/gone", b"offline")
    reader.send_publish("kept", b"y", 1, 7, retain=True)
    reader.expect(PUBACK)
    again(broker, "kill")
    assert connected(broker.mqtt_port, "reader").receive(0.5) is None


def test_durability_off(start_broker: Start):
    """`durability = off`: nothing is stored."""
    broker = start_broker({"EMQX_DURABILITY": "off"})
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    assert not (broker.data_dir / "messages.db").exists()
    again(broker, "kill")
    assert not connected(broker.mqtt_port, "keeper").connack.present


def test_queue_on_disk_goes_to_another_member(start_broker: Start):
    """MQTT 5.0, 4.8.2: what the session of a shared subscription's member leaves is sent to another, though nobody had
    read it from the disk. It survives on its new way too."""
    broker = start_broker()
    connected(broker.mqtt_port, "leaver").subscribe("$share/g/q", qos=1)
    connected(broker.mqtt_port, "leaver").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for i in range(1, 601):
        publisher.send_publish("q", b"%d" % i, 1, i)
    for i in range(1, 601):
        assert publisher.expect(PUBACK).pid == i
    connected(broker.mqtt_port, "heir").subscribe("$share/g/q", qos=1)
    again(broker, "kill")
    assert broker.api("DELETE", "sessions/persistent/leaver").status_code == 200
    wait_until(lambda: broker.api("GET", "sessions/heir").json()[0]["mqueue_len"] == 600, 10)
    connected(broker.mqtt_port, "settled", version=5, session_expiry=60)     # after what was before it
    again(broker, "kill")
    assert not connected(broker.mqtt_port, "leaver").connack.present
    heir = connected(broker.mqtt_port, "heir")
    for i in range(1, 601):
        assert heir.message().payload == b"%d" % i
    assert heir.receive(within=0.3) is None


def test_rest_answers_after_the_commit(start_broker: Start):
    """What a REST publish or subscribe was answered for survives a kill at that moment."""
    broker = start_broker()
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    rows = [{"topic": "q", "payload": str(number), "qos": 1} for number in range(20)]
    assert broker.api("POST", "mqtt/publish_batch", json=rows).status_code == 200
    assert broker.api("POST", "mqtt/publish", json={"topic": "q", "payload": "20", "qos": 1}).json() == {"code": 0}
    wanted = {"topic": "r", "client_id": "keeper", "qos": 1}
    assert broker.api("POST", "mqtt/subscribe", json=wanted).json() == {"code": 0}
    again(broker, "kill")
    keeper = connected(broker.mqtt_port, "keeper")
    for number in range(21):
        assert keeper.message().payload == b"%d" % number
    assert {row["topic"] for row in broker.api("GET", "subscriptions/keeper").json()} == {"q", "r"}


def test_retained_message_whose_first_place_is_gone(start_broker: Start):
    """A retained message that the store has once had for one session is stored for the next one too."""
    broker = start_broker()
    connected(broker.mqtt_port, "first").subscribe("q", qos=1)
    connected(broker.mqtt_port, "first").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    publisher.send_publish("q", b"kept", 1, 1, retain=True)
    publisher.expect(PUBACK)
    again(broker, "kill")                               # settled: it has a row
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    publisher.send_publish("q", b"new", 1, 1, retain=True)
    publisher.expect(PUBACK)
    first = connected(broker.mqtt_port, "first")
    assert [first.message().payload for _ in range(2)] == [b"kept", b"new"]
    second = connected(broker.mqtt_port, "second")
    second.subscribe("q", qos=1)
    assert second.expect(PUBLISH).payload == b"new"
    again(broker, "kill")
    assert connected(broker.mqtt_port, "second").expect(PUBLISH).payload == b"new"


def test_order_in_flight_with_priorities(start_broker: Start):
    """[MQTT-4.4.0-1] Unacknowledged messages are sent again in the order of their sending, not of their coming."""
    broker = start_broker(PRIORITIES | {"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "3"})
    reader = subscribed_to_both(broker, "reader")
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid, topic in enumerate(["low"] * 6 + ["high"] * 2, 1):
        publisher.send_publish(topic, b"%d" % pid, 1, pid)
        publisher.expect(PUBACK)
    for packet in [reader.expect(PUBLISH) for _ in range(3)]:
        reader.ack(PUBACK, packet.pid)
    sent = [reader.expect(PUBLISH) for _ in range(3)]
    assert [packet.payload for packet in sent] == [b"7", b"8", b"4"]
    connected(broker.mqtt_port, "settled", version=5, session_expiry=60)     # after what was before it
    again(broker, "kill")
    reader = connected(broker.mqtt_port, "reader")
    resent = [reader.expect(PUBLISH) for _ in range(3)]
    assert [(packet.payload, packet.pid) for packet in resent] == [(packet.payload, packet.pid) for packet in sent]


def test_order_in_flight_of_both_qualities(start_broker: Start, how: str):
    """[MQTT-4.6.0-1] QoS 2 waits for its packet id to be on disk, and QoS 1 behind it is not sent before it: what is
    sent again comes in the same order, after a reconnect and after a restart."""
    broker = start_broker()
    reader = connected(broker.mqtt_port, "reader")
    reader.subscribe("q", qos=2)
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid in range(1, 9):
        publisher.send_publish("q", b"%d" % pid, 1 + pid % 2, pid)
    for pid in range(1, 9):
        publisher.expect(PUBREC if pid % 2 else PUBACK)
    sent = [reader.expect(PUBLISH) for _ in range(8)]
    reader.drop()
    for connection in range(2):
        reader = connected(broker.mqtt_port, "reader")
        resent = [reader.expect(PUBLISH) for _ in sent]
        assert [(one.payload, one.pid) for one in resent] == [(one.payload, one.pid) for one in sent]
        reader.drop()
        if connection == 0:
            again(broker, how)


@pytest.mark.parametrize("stay", [True, False], ids=["taken over", "left"])
def test_a_session_that_leaves_its_priorities(start_broker: Start, stay: bool):
    """What waits in the queues of a zone with `mqueue_priorities` is not lost in one without, nor its order."""
    broker = start_broker(PRIORITIES | {"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "1",
                                        "EMQX_ZONE__INTERNAL__MAX_INFLIGHT": "1"})
    reader = subscribed_to_both(broker, "reader")
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid, topic in enumerate(("low", "low", "high", "low", "high"), 1):
        publisher.send_publish(topic, b"%d" % pid, 1, pid)
        publisher.expect(PUBACK)
    if not stay:
        reader.drop()
    connected(broker.internal_port, "reader").drop()
    reader = connected(broker.internal_port, "reader")
    assert [reader.message().payload for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]


def test_each_priority_has_its_own_limit_after_a_restart(start_broker: Start):
    broker = start_broker(TWO_OF_EACH)
    subscribed_to_both(broker, "absent").disconnect()
    for number, topic in enumerate(("low", "high"), 1):
        publisher = connected(broker.mqtt_port, "publisher", clean=True)
        for pid in (1, 2):
            publisher.send_publish(topic, b"%d" % (2 * number + pid), 1, pid)
            publisher.expect(PUBACK)
        again(broker, "kill")
    absent = connected(broker.mqtt_port, "absent")
    assert [absent.message().payload for _ in range(4)] == [b"5", b"6", b"3", b"4"]


def test_queue_of_a_client_that_went(start_broker: Start):
    """What was queued while it was connected leaves the memory with it, and comes before what is published later."""
    broker = start_broker({"EMQX_ZONE__EXTERNAL__MAX_INFLIGHT": "1"})
    reader = connected(broker.mqtt_port, "reader")
    reader.subscribe("q", qos=1)
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    for pid in range(1, 601):
        publisher.send_publish("q", b"%d" % pid, 1, pid)
        publisher.expect(PUBACK)
        if pid == 500:
            reader.drop()
            wait_until(lambda: not broker.api("GET", "connections/reader").json())
            (row,) = broker.api("GET", "sessions/reader?_fields=extended").json()
            assert (row["mqueue_len"], row["inflight_len"], row["mqueue_bytes"]) == (499, 1, 0)
    reader = connected(broker.mqtt_port, "reader")
    assert [int(reader.message().payload) for _ in range(600)] == list(range(1, 601))
    assert reader.receive(0.3) is None
