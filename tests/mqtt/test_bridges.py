"""Bridges before MQTT 5: they set the highest bit of the protocol level (0x83, 0x84), as mosquitto's do, and cannot ask
for Retain As Published and No Local, which a bridge needs."""

from __future__ import annotations

import pytest

from tests.clients.raw import PUBLISH, Raw
from tests.harness import Bench


def bridge(bench: Bench, version: int, client_id: str = "bridge") -> Raw:
    client = bench.open(version)
    packet = client.connect_packet(client_id)
    name = packet.index(b"MQ")
    level = packet.index(bytes([version]), name)
    client.send(packet[:level] + bytes([version | 0x80]) + packet[level + 1:])
    assert client.packet().code == 0
    return client


@pytest.fixture(params=["core", "hooked"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Both ways that a SUBSCRIBE takes: with a handler of its points it goes through Python."""
    made = Bench()
    if request.param == "hooked":
        made.broker.hooks.add("session.subscribed", lambda *_: None)
    return made


@pytest.mark.parametrize("version", [3, 4])
def test_a_bridge_gets_messages_as_they_were_published(bench: Bench, version: int):
    """RETAIN is kept on live messages (Retain As Published, section 3.8.3.1), for a bridge only."""
    subscribers = [bridge(bench, version), bench.client("other", version)]
    for subscriber in subscribers:
        subscriber.subscribe("t", qos=1)
    bench.broker.publish("t", b"kept", 1, True)
    bench.broker.publish("t", b"", 0, False)
    assert [[subscriber.expect(PUBLISH).retain for _ in range(2)] for subscriber in subscribers] == [
        [True, False], [False, False]]


@pytest.mark.parametrize("version", [3, 4])
def test_a_bridge_does_not_get_its_own_messages_back(bench: Bench, version: int):
    """No Local (section 3.8.3.1): with `topic # both` each message would come back."""
    client = bridge(bench, version)
    client.subscribe("#")
    client.publish("t", b"own")
    bench.client("other", version).publish("t", b"other")
    assert client.expect(PUBLISH).payload == b"other"
    client.silent()


def test_a_shared_subscription_of_a_bridge_is_one_as_any_other(bench: Bench):
    """[MQTT-3.8.3-4] No Local is not for shared subscriptions: with one member its own message would be lost."""
    client = bridge(bench, 4)
    client.subscribe("$share/group/t", qos=1)
    client.publish("t", b"own", 1, retain=True)
    got = client.expect(PUBLISH)
    assert (got.payload, got.retain) == (b"own", True)


def test_a_subscription_made_for_a_bridge(bench: Bench):
    """By an operator over REST: the same as one of its own."""
    client = bridge(bench, 4)
    assert bench.broker.subscribe("bridge", "t", 0)
    client.publish("t", b"own")
    bench.broker.publish("t", b"kept", 0, True)
    got = client.expect(PUBLISH)
    assert (got.payload, got.retain) == (b"kept", True)
