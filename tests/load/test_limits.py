"""Each limit of a listener or a zone: what it does, and the word that counts it in `shutdown_count`."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import CONNACK, DISCONNECT, PUBLISH, SUBACK, Raw, packet_bytes, publish_packet, text
from tests.load.rows import metrics, session, shutdown_count

pytestmark = pytest.mark.timeout(90)
ZONE = "EMQX_ZONE__EXTERNAL__"


def count_of(broker: BrokerProcess, reason: str, expected: int = 1) -> None:
    wait_until(lambda: shutdown_count(broker).get(reason) == expected, 10, f"{reason} in {shutdown_count(broker)}")


def test_connections_beyond_the_rate_wait(start_broker: Callable[..., BrokerProcess]) -> None:
    """None is refused: the kernel holds them until the next second."""
    broker = start_broker({"EMQX_LISTENER__TCP__EXTERNAL__MAX_CONN_RATE": "10"})
    with ExitStack() as stack:
        started = time.monotonic()
        for number in range(25):
            client = stack.enter_context(Raw.dial(broker.mqtt_port, 4))
            client.connect(f"c{number}")
        assert time.monotonic() - started >= 1.0
    with Raw.dial(broker.internal_port, 4) as other:
        other.connect("other")
    assert shutdown_count(broker)["max_conn_rate"] > 0


def test_publish_limit_pauses_and_loses_nothing(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({ZONE + "PUBLISH_LIMIT": "20,1s"})
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("eager")
        client.subscribe("t")
        client.send(b"".join(publish_packet("t", str(n).encode()) for n in range(50)))
        started = time.monotonic()
        assert [client.expect(PUBLISH).payload for _ in range(50)] == [str(n).encode() for n in range(50)]
        assert time.monotonic() - started >= 1.0
        client.ping()  # and the connection goes on
    assert "eager" not in shutdown_count(broker)


def test_topic_levels_client_id_and_packet_size(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker(
        {ZONE + "MAX_TOPIC_LEVELS": "3", ZONE + "MAX_CLIENTID_LEN": "10", ZONE + "MAX_PACKET_SIZE": "1KB"})
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("levels")
        client.subscribe("a/b/c")
        client.send(packet_bytes(0x82, b"\0\1" + text("a/b/c/d") + b"\0"))
        client.expect(SUBACK, pid=1, codes=[0x80])
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("x" * 11, code=2)
        client.rest()
    count_of(broker, "client_identifier_not_valid")
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("large")
        client.send(b"\x30\x80\x10")  # refused by its header: the rest need not come
        client.rest()
    count_of(broker, "packet_too_large")


def test_a_client_that_comes_and_goes_is_banned(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({ZONE + "ENABLE_FLAPPING_DETECT": "on", ZONE + "FLAPPING_THRESHOLD": "3,1m",
                           ZONE + "FLAPPING_BANNED_EXPIRY_INTERVAL": "1h"})
    for _ in range(3):
        with Raw.dial(broker.mqtt_port, 4) as client:
            client.connect("butterfly")
            client.send(b"\xe0\x00")
            client.rest()

    def code() -> int:
        with Raw.dial(broker.mqtt_port, 4) as client:
            client.send(client.connect_packet("butterfly"))
            return client.expect(CONNACK).code

    assert wait_until(code, 10, "the ban") == 5
    (ban,) = broker.api("GET", "banned/").json()["items"]
    assert (ban["who"], ban["as"], ban["reason"]) == ("butterfly", "client_id", "flapping")
    assert "banned" in shutdown_count(broker)
    with Raw.dial(broker.mqtt_port, 4) as other:
        other.connect("bee")


def test_force_shutdown_of_a_queue(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker(
        {ZONE + "FORCE_SHUTDOWN_POLICY": "20|0MB", ZONE + "MAX_MQUEUE_LEN": "0", ZONE + "MAX_INFLIGHT": "1"})
    with Raw.dial(broker.mqtt_port) as lazy, Raw.dial(broker.mqtt_port, 4) as publisher:
        lazy.connect("lazy")
        publisher.connect("publisher")
        lazy.subscribe("q", qos=1)
        for pid in range(1, 60):
            publisher.send_publish("q", b"x", 1, pid)
        assert lazy.expect(PUBLISH).payload == b"x"
        lazy.expect(DISCONNECT)
        lazy.rest()
    count_of(broker, "force_shutdown")


def test_force_shutdown_of_an_outbox(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({ZONE + "FORCE_SHUTDOWN_POLICY": "0|1MB"})
    with Raw.dial(broker.mqtt_port, 4, receive_buffer=4096) as stalled, Raw.dial(broker.mqtt_port, 4) as publisher:
        stalled.connect("stalled")
        publisher.connect("publisher")
        stalled.subscribe("t")
        flood = publish_packet("t", bytes(1000)) * 1000
        for _ in range(15):
            publisher.send(flood)
        count_of(broker, "force_shutdown")
        publisher.ping()


def flood_itself(client: Raw, name: str) -> None:
    """Publishes to itself more than sockets hold, and does not read; nobody is paused for himself."""
    client.connect(name)
    client.subscribe(name)
    client.send(publish_packet(name, bytes(1000)) * 12_000)


def test_an_outbox_beyond_its_limit_takes_no_more_qos0(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({"EMQX_MQTT__MAX_OUTBOX_SIZE": "256KB"})
    with Raw.dial(broker.mqtt_port, 4, receive_buffer=4096) as stalled:
        flood_itself(stalled, "stalled")
        wait_until(lambda: metrics(broker)["connections/slow/outbox_full"] == 1, 10)
        wait_until(lambda: metrics(broker)["dropped/slow_subscriber"] > 0, 10)
        (row,) = broker.api("GET", "/connections/stalled?_fields=extended").json()
        assert row["is_slow"]
        assert 256 << 10 < row["send_pend"] < 512 << 10


def test_outboxes_beyond_their_limit_together_take_no_more_qos0(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({"EMQX_MQTT__MAX_TOTAL_OUTBOX_SIZE": "1MB"})
    with ExitStack() as stack:
        stalled = {f"stalled-{n}": stack.enter_context(Raw.dial(broker.mqtt_port, 4, receive_buffer=4096))
                   for n in range(3)}
        for name, client in stalled.items():
            flood_itself(client, name)
        wait_until(lambda: metrics(broker)["connections/slow/outboxes_full"] > 0, 10)
        for name, client in stalled.items():  # the floods may have been read before they were judged
            client.send_publish(name, b"x")
        wait_until(lambda: metrics(broker)["dropped/slow_subscriber"] > 0, 10)
        assert metrics(broker)["connections/slow/outbox_full"] == 0
        other = stack.enter_context(Raw.dial(broker.mqtt_port, 4))
        other.connect("other")
        other.subscribe("t")
        other.send_publish("t", b"x")
        assert other.expect(PUBLISH).payload == b"x"


def test_inflight_and_subscription_limits_are_shown(start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker({ZONE + "MAX_INFLIGHT": "3", ZONE + "MAX_SUBSCRIPTIONS": "1"})
    with Raw.dial(broker.mqtt_port, 4) as client:
        client.connect("c")
        client.subscribe("t", qos=1)
        client.send(packet_bytes(0x82, struct.pack(">H", 2) + text("u") + b"\0"))
        client.expect(SUBACK, pid=2, codes=[0x80])
        for pid in range(1, 9):
            client.send_publish("t", b"x", 1, pid)
        client.ping()
        row = session(broker, "c")
        assert (row["inflight_len"], row["mqueue_len"], row["max_inflight"], row["max_subscriptions"]) == (3, 5, 3, 1)
