"""Committed first, then sent: while the store process stands still, nothing leaves that a crash would make a lie.

[MQTT-4.3.2-4], [MQTT-4.3.3-8] and the exchanges of section 4.3.3, for sessions and messages that are stored.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import (
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
    connected,
    packet_bytes,
)

Start = Callable[..., BrokerProcess]
QUIET = 0.3


def store_of(broker: BrokerProcess) -> psutil.Process:
    return next(child for child in broker.worker.children() if "messages.process" in " ".join(child.cmdline()))


@contextlib.contextmanager
def standing_still(broker: BrokerProcess) -> Iterator[None]:
    store = store_of(broker)
    store.suspend()
    try:
        wait_until(lambda: store.status() == psutil.STATUS_STOPPED, what="the store's stop")
        yield
    finally:
        store.resume()


def test_nothing_leaves_before_the_commit(start_broker: Start):
    broker = start_broker()
    keeper, writer = connected(broker.mqtt_port, "keeper"), connected(broker.mqtt_port, "writer")
    keeper.subscribe("q/#", qos=2)
    keeper.subscribe("gone", qos=1)
    writer.send_publish("q/2", b"", 2, 1)
    writer.expect(PUBREC)
    arrived = keeper.expect(PUBLISH)
    publisher, other = (connected(broker.mqtt_port, name, clean=True) for name in ("publisher", "other"))
    publisher.send_publish("kept", b"retained", 1, 4, retain=True)
    publisher.expect(PUBACK)
    with standing_still(broker):
        publisher.send_publish("q/1", b"for a stored session", 1, 1)
        publisher.send_publish("nobody", b"retained", 1, 2, retain=True)
        publisher.send_publish("$delayed/60/nobody", b"delayed", 1, 3)
        publisher.send_publish("kept", b"", 1, 4, retain=True)
        other.send_publish("kept", b"", 1, 1, retain=True)       # what is removed already may be on disk still
        writer.ack(PUBREL, 1)
        writer.ack(PUBREL, 1)           # as a client does that had no PUBCOMP
        writer.send_publish("q/2", b"its id is stored", 2, 2)
        keeper.ack(PUBREC, arrived.pid)
        keeper.send(packet_bytes(0x82, b"\0\7\0\1s\1"))
        keeper.send(packet_bytes(0xA2, b"\0\x08\0\4gone"))
        late = socket.create_connection(("127.0.0.1", broker.mqtt_port))
        late.sendall(b"\x10\x10\0\4MQTT\4\0\0\0\0\4late")
        hasty = socket.create_connection(("127.0.0.1", broker.mqtt_port))
        hasty.sendall(b"\x10\x11\0\4MQTT\4\0\0\0\0\5hasty\xe0\0")    # and goes before it has its CONNACK
        plain = connected(broker.mqtt_port, "plain", clean=True)     # and what is not stored waits for nobody
        plain.subscribe("plain", qos=1)
        plain.send_publish("plain", b"", 1, 1)
        assert {plain.receive().kind for _ in range(2)} == {PUBACK, PUBLISH}
        for sock in (late, hasty):
            sock.settimeout(QUIET)
            with pytest.raises(TimeoutError):
                sock.recv(1)
        assert [client.receive(QUIET) for client in (publisher, other, writer)] == [None, None, None]
        # Of QoS 1 the PUBLISH may go out at once; nothing of what is QoS 2, nor an acknowledgement.
        while (packet := keeper.receive(QUIET)) is not None:
            assert (packet.kind, packet.qos) == (PUBLISH, 1), packet
    assert [publisher.expect(PUBACK).pid for _ in range(4)] == [1, 2, 3, 4]
    assert other.expect(PUBACK).pid == 1
    assert [(packet.kind, packet.pid) for packet in (writer.receive() for _ in range(3))] == [
        (PUBCOMP, 1), (PUBCOMP, 1), (PUBREC, 2)]
    for sock in (late, hasty):
        sock.settimeout(10)
        assert sock.recv(4) == b"\x20\2\0\0"
    assert hasty.recv(1) == b""
    late.close()
    hasty.close()
    rest = [keeper.receive().kind for _ in range(4)]
    assert sorted(rest) == sorted([PUBREL, SUBACK, UNSUBACK, PUBLISH]), rest


def test_publishers_wait_for_a_store_that_is_far_behind(start_broker: Start):
    """Bounded memory: a store that stands still does not make the broker keep all that a publisher can send."""
    broker = start_broker()
    connected(broker.mqtt_port, "keeper").subscribe("q", qos=1)
    connected(broker.mqtt_port, "keeper").disconnect()
    publisher = connected(broker.mqtt_port, "publisher", clean=True)
    before, payload, sent = broker.rss(), bytes(1 << 19), 0
    with standing_still(broker):
        publisher.sock.settimeout(2)
        with contextlib.suppress(TimeoutError):
            for sent in range(400):
                publisher.send_publish("q", payload, 1, sent + 1)
        assert sent < 300, "nobody was made to wait"
        assert broker.rss() - before < 300 << 20
    publisher.sock.settimeout(20)
    for pid in range(1, sent + 1):
        assert publisher.expect(PUBACK).pid == pid
