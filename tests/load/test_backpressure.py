"""Bursts, readers that do not read, and what they cost: nobody else anything, and themselves what is counted."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.raw import PINGRESP, PUBACK, PUBLISH, Packet, Raw, publish_packet
from tests.load.rows import MIB, PeakMemory, gauges, metrics, session

pytestmark = pytest.mark.timeout(120)
SMALL = 4096  # a receive buffer that holds next to nothing


@pytest.fixture
def busy(start_broker: Callable[..., BrokerProcess]) -> Iterator[BrokerProcess]:
    """A broker with a queue of ten messages; what it logs is no traceback."""
    process = start_broker({"EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN": "10", "EMQX_MQTT__MAX_PACKET_SIZE": "2MB"})
    yield process
    assert "Traceback" not in process.stderr, process.stderr


def read_all(client: Raw, count: int, numbers: list[int]) -> threading.Thread:
    """Reads `count` messages on a thread of its own; their first four bytes are numbers."""

    def read() -> None:
        for _ in range(count):
            numbers.append(int.from_bytes(client.expect(PUBLISH).payload[:4], "big"))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def numbered(topic: str, first: int, count: int, size: int) -> bytes:
    return b"".join(publish_packet(topic, n.to_bytes(4, "big").ljust(size, b".")) for n in range(first, first + count))


def test_a_burst_to_subscribers_that_read_arrives_complete_in_bounded_memory(busy, loadgen):
    with PeakMemory(busy) as peak:
        books = loadgen("flow", port=busy.mqtt_port, shape="all", pubs=8, subs=20, messages=80_000, size=512,
                        batch=1000)
    assert (books["lost"], books["duplicated"], books["out_of_order"], books["corrupt"]) == (0, 0, 0, 0)
    assert books["received"] == 1_600_000
    assert peak.grown < 160 * MIB


def test_many_publishers_to_one_subscriber_that_reads_slower_lose_nothing(busy):
    """A subscriber in Python is far slower than the publishers; they wait (sessions and commits, invariant 2)."""
    publishers, each, size = 200, 500, 1000
    with ExitStack() as stack:
        reader = stack.enter_context(Raw.dial(busy.mqtt_port, 4, receive_buffer=65536))
        reader.connect("reader")
        reader.subscribe("in/#")
        numbers: list[int] = []
        thread = read_all(reader, publishers * each, numbers)
        flood = numbered("in/x", 0, each, size)
        senders = []
        for n in range(publishers):
            client = stack.enter_context(Raw.dial(busy.mqtt_port, 4))
            client.connect(f"p{n}")
            senders.append(threading.Thread(target=client.send, args=(flood,)))
        with PeakMemory(busy) as peak:
            for sender in senders:
                sender.start()
            for sender in [*senders, thread]:
                sender.join(60)
        assert sorted(numbers) == sorted(list(range(each)) * publishers)
        assert session(busy, "reader")["mqueue_dropped"] == 0
    assert peak.grown < 64 * MIB


def test_a_subscriber_that_stops_reading_costs_the_others_nothing_and_its_losses_are_counted(busy):
    messages, size = 150_000, 1000
    with Raw.dial(busy.mqtt_port, 4, receive_buffer=SMALL) as stalled, Raw.dial(busy.mqtt_port, 4) as reader, \
            Raw.dial(busy.mqtt_port, 4) as publisher:
        for name, client in (("stalled", stalled), ("reader", reader), ("publisher", publisher)):
            client.connect(name)
        stalled.subscribe("t")
        reader.subscribe("t")
        numbers: list[int] = []
        thread = read_all(reader, messages, numbers)
        with PeakMemory(busy) as peak:
            for first in range(0, messages, 1000):
                publisher.send(numbered("t", first, 1000, size))
            thread.join(60)
        assert numbers == list(range(messages))
        row = session(busy, "stalled")
        assert row["deliver_msg"] + row["mqueue_dropped"] == messages
        assert row["mqueue_dropped"] > 0
        counted = metrics(busy)
        assert counted["dropped/slow_subscriber"] == row["mqueue_dropped"]
        assert (counted["connections/slow/stalled"], counted["connections/slow/outbox_full"]) == (1, 0)
        assert session(busy, "reader")["mqueue_dropped"] == 0
        shown = gauges(busy)
        assert (shown["emqx_slow_connections"], shown["emqx_blocked_connections"]) == (1, 1)
        assert shown["emqx_paused_publishers"] == 0
        (connection,) = busy.api("GET", "/connections/stalled?_fields=extended").json()
        assert connection["is_slow"]
        assert shown["emqx_outbox_bytes"] == connection["send_pend"] > 100_000

        # Once it reads again it gets all that was not dropped, and what comes from then on.
        for _ in range(row["deliver_msg"]):
            stalled.expect(PUBLISH)
        publisher.send_publish("t", b"fresh")
        assert stalled.expect(PUBLISH).payload == b"fresh"
        shown = gauges(busy)
        assert (shown["emqx_slow_connections"], shown["emqx_blocked_connections"]) == (0, 0)
        assert shown["emqx_outbox_bytes"] == 0
    assert peak.grown < 72 * MIB  # of 143 that were sent
    assert busy.stderr.count("Client 'stalled' does not read") == 1


def test_a_reader_of_a_byte_a_second_is_one_that_does_not_read(busy):
    with Raw.dial(busy.mqtt_port, 4, receive_buffer=SMALL) as trickle, Raw.dial(busy.mqtt_port, 4) as publisher, \
            ExitStack() as stack:
        trickle.connect("trickle")
        publisher.connect("publisher")
        trickle.subscribe("t")
        trickle.sock.setblocking(True)
        done = threading.Event()

        def read_a_byte() -> None:
            while not done.wait(1.0):
                trickle.sock.recv(1)

        thread = threading.Thread(target=read_a_byte)
        thread.start()
        stack.callback(thread.join)
        stack.callback(done.set)
        flood = numbered("t", 0, 1000, 1000)
        for _ in range(30):
            publisher.send(flood)
        publisher.ping()
        row = wait_until(lambda: (row := session(busy, "trickle"))["mqueue_dropped"] and row, 15, "the first loss")
        assert row["deliver_msg"] + row["mqueue_dropped"] == 30_000


def test_a_client_that_floods_its_own_topic_is_not_paused_for_itself(busy):
    """It writes everything before it reads anything: waiting for it to read would be waiting for ever."""
    messages = 60_000
    with Raw.dial(busy.mqtt_port, 4) as client, PeakMemory(busy) as peak:
        client.connect("echo")
        client.subscribe("own")
        for first in range(0, messages, 1000):
            client.send(numbered("own", first, 1000, 1000))
        client.send(b"\xc0\x00")
        row = wait_until(lambda: (row := session(busy, "echo"))["deliver_msg"] + row["mqueue_dropped"] == messages
                         and row, 20, "the end of the flood")
        for _ in range(row["deliver_msg"]):
            client.expect(PUBLISH)
        client.expect(PINGRESP)
    assert peak.grown < 64 * MIB


def test_two_clients_that_feed_each_other_without_reading_get_on(busy):
    messages = 30_000
    with Raw.dial(busy.mqtt_port, 4) as one, Raw.dial(busy.mqtt_port, 4) as two, PeakMemory(busy) as peak:
        for name, client in (("one", one), ("two", two)):
            client.connect(name)
            client.subscribe(f"to/{name}")

        def flood(client: Raw, topic: str) -> None:
            for first in range(0, messages, 1000):
                client.send(numbered(topic, first, 1000, 1000))

        senders = [threading.Thread(target=flood, args=args) for args in ((one, "to/two"), (two, "to/one"))]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(60)
            assert not sender.is_alive()
        for name in ("one", "two"):
            row = wait_until(lambda name=name: (row := session(busy, name))["deliver_msg"] + row["mqueue_dropped"]
                             == messages and row, 20, "the end of the flood")
            client = one if name == "one" else two
            for _ in range(row["deliver_msg"]):
                client.expect(PUBLISH)
    assert peak.grown < 96 * MIB


def test_a_paused_publisher_that_cannot_read_loses_nothing(busy):
    """A chain: b hands on to c, which stalls; b, held up in its own writing, is not to blame for not reading."""
    with Raw.dial(busy.mqtt_port, 4) as a, Raw.dial(busy.mqtt_port, 4) as b, \
            Raw.dial(busy.mqtt_port, 4, receive_buffer=SMALL) as c:
        for name, client in (("a", a), ("b", b), ("c", c)):
            client.connect(name)
        b.subscribe("to/b")
        c.subscribe("to/c")
        flood = numbered("to/c", 0, 1000, 1000)
        sender = threading.Thread(target=lambda: [b.send(flood) for _ in range(40)])
        sender.start()
        for n in range(0, 5000, 1000):
            a.send(numbered("to/b", n, 1000, 1000))
        sender.join(60)
        assert not sender.is_alive()
        assert [int.from_bytes(b.expect(PUBLISH).payload[:4], "big") for _ in range(5000)] == list(range(5000))
        assert session(busy, "b")["mqueue_dropped"] == 0
        wait_until(lambda: (row := session(busy, "c"))["deliver_msg"] + row["mqueue_dropped"] == 40_000, 20, "all")


def drain_bytes(clients: list[Raw], each: int) -> list[int]:
    """Reads `each` bytes from every client in turn, whoever has some; the counts."""
    got = [0] * len(clients)
    deadline = time.monotonic() + 60
    with selectors.DefaultSelector() as selector:
        for index, client in enumerate(clients):
            client.sock.setblocking(False)
            selector.register(client.sock, selectors.EVENT_READ, index)
        while min(got) < each and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                with contextlib.suppress(BlockingIOError):
                    got[key.data] += len(key.fileobj.recv(1 << 18))  # type: ignore[union-attr]
    return got


def test_one_mib_to_a_thousand_subscribers_is_held_once(busy):
    subscribers, payload = 1000, bytes(MIB)
    packet = publish_packet("big", payload)
    with ExitStack() as stack:
        readers = [stack.enter_context(Raw.dial(busy.mqtt_port, 4)) for _ in range(subscribers)]
        for number, reader in enumerate(readers):
            reader.connect(f"r{number}")
            reader.subscribe("big")
        publisher = stack.enter_context(Raw.dial(busy.mqtt_port, 4))
        publisher.connect("publisher")
        with PeakMemory(busy) as peak:
            publisher.send(packet)
            got = drain_bytes(readers, len(packet))
        assert got == [len(packet)] * subscribers
    assert peak.grown < 64 * MIB


@pytest.mark.parametrize("version", [4, 5])
def test_qos1_to_a_full_window_withholds_acks_and_loses_nothing(busy, version):
    """32 in flight and 10 queued; the publisher's other acknowledgements wait, in order [MQTT-4.6.0-2]."""
    messages = 90  # below the Receive Maximum
    with Raw.dial(busy.mqtt_port, 4) as reader, Raw.dial(busy.mqtt_port, version) as publisher:
        reader.connect("reader")
        publisher.connect("publisher")
        reader.subscribe("q", qos=1)
        for pid in range(1, messages + 1):
            publisher.send_publish("q", str(pid).encode(), 1, pid)
        publisher.send(b"\xc0\x00")
        acked = [answer.pid for answer in answers_until_ping(publisher)]
        assert acked == list(range(1, 32 + 10 + 1))  # the rest waits
        for pid in range(1, messages + 1):
            message = reader.expect(PUBLISH)
            assert message.payload == str(pid).encode()
            time.sleep(0.0005)
            reader.ack(PUBACK, message.pid)
        while len(acked) < messages:
            acked.append(publisher.expect(PUBACK).pid)
        assert acked == list(range(1, messages + 1))
        assert session(busy, "reader")["mqueue_dropped"] == 0


def answers_until_ping(client: Raw) -> Iterator[Packet]:
    while (answer := client.packet()).kind != PINGRESP:
        yield answer


def test_a_subscriber_that_acknowledges_nothing_holds_nobody_up_for_long(busy):
    """It takes bytes, so its socket says nothing; after a second its queue is a limit again, and losses are counted."""
    messages = 400
    with Raw.dial(busy.mqtt_port, 4) as silent, Raw.dial(busy.mqtt_port, 4) as reader, \
            Raw.dial(busy.mqtt_port, 4) as publisher:
        for name, client in (("silent", silent), ("reader", reader), ("publisher", publisher)):
            client.connect(name)
        silent.subscribe("q", qos=1)
        reader.subscribe("q", qos=1)
        for pid in range(1, messages + 1):
            publisher.send_publish("q", str(pid).encode(), 1, pid)
        for _ in range(messages):
            reader.ack(PUBACK, reader.expect(PUBLISH).pid)
        for pid in range(1, messages + 1):
            publisher.expect(PUBACK, pid=pid)
        # A new one is acknowledged and delivered although the silent one still says nothing.
        publisher.send_publish("q", b"after", 1, 1)
        publisher.expect(PUBACK)
        assert reader.expect(PUBLISH).payload == b"after"
        publisher.send_publish("q", b"last", 1, 2)
        publisher.expect(PUBACK)
        row = session(busy, "silent")
        assert row["deliver_msg"] == 32
        assert row["deliver_msg"] + row["mqueue_len"] + row["mqueue_dropped"] == messages + 2
        assert metrics(busy)["dropped/queue_full"] == row["mqueue_dropped"]


def test_a_publisher_that_ignores_withheld_acks_fills_no_memory(busy):
    """The reader acknowledges just enough to count as keeping up; the publisher does not care."""
    with Raw.dial(busy.mqtt_port, 4) as reader, Raw.dial(busy.mqtt_port, 4) as publisher, PeakMemory(busy) as peak:
        reader.connect("reader")
        publisher.connect("publisher")
        reader.subscribe("q", qos=1)
        payload = bytes(100_000)
        flood = b"".join(publish_packet("q", payload, 1, pid=pid) for pid in range(1, 21))
        sent = 0
        for _ in range(60):
            publisher.send(flood)
            sent += 20
            with contextlib.suppress(OSError):
                reader.ack(PUBACK, reader.expect(PUBLISH).pid)
        publisher.send(b"\xc0\x00")
        list(answers_until_ping(publisher))
        row = session(busy, "reader")
        assert row["mqueue_dropped"] > 0
        assert row["deliver_msg"] + row["mqueue_len"] + row["mqueue_dropped"] == sent
    assert peak.grown < 110 * MIB


def test_a_qos0_message_is_never_held_up_by_a_session_queue(busy):
    """Publishers pause for sockets only: a full window and queue of QoS 1 leave QoS 0 alone (invariant 2 of sessions
    and commits)."""
    with Raw.dial(busy.mqtt_port, 4) as reader, Raw.dial(busy.mqtt_port, 4) as publisher:
        reader.connect("reader")
        publisher.connect("publisher")
        reader.subscribe("q/#", qos=1)
        for pid in range(1, 60):
            publisher.send_publish("q/1", b"x", 1, pid)
        for _ in range(1000):
            publisher.send_publish("q/0", b"y")
        publisher.ping()
        topics = []
        while topics.count("q/0") < 1000:
            topics.append(reader.expect(PUBLISH).topic)
        assert topics.count("q/1") == 32
    counted: dict[str, Any] = metrics(busy)
    assert counted["publishers/paused"] == 0


def test_the_descriptor_of_a_peer_that_vanished_while_paused_is_closed(busy):
    with Raw.dial(busy.mqtt_port, 4, receive_buffer=SMALL) as stalled:
        stalled.connect("stalled")
        stalled.subscribe("t")
        publisher = Raw.dial(busy.mqtt_port, 4)
        publisher.connect("publisher")
        publisher.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for first in range(0, 200_000, 1000):
                publisher.send(numbered("t", first, 1000, 1000))
        publisher.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        publisher.sock.close()
        wait_until(lambda: not busy.api("GET", "/connections/publisher").json(), 10, "the end of the publisher")
