"""Mixed load over every listener, with faults, and books that must balance.

`SOAK_SECONDS` (20; `make soak` runs 1,800). Streams of QoS 1 and 2 over each transport keep their sessions while their
connections are broken; QoS 0 runs beside them undisturbed; clients come and go; REST is polled; vandals call.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator

import pytest

from tests.broker_process import BrokerProcess
from tests.listeners.secured import Secured, certificates, settings
from tests.listeners.transports import TRANSPORTS
from tests.soak.faults import Breaker, Memory, Pollers, SlowReaders, Vandals, Weather
from tests.soak.streams import Comers, Pair, Place, Publisher, Subscriber, until

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
MIB = 1 << 20
VERSIONS = {"tcp": 4, "ssl": 5, "ws": 5, "wss": 4}
MAY_GROW = 8 * MIB      # and a twentieth, between the second quarter of the time and its end
QUIET_WORDS = ("[ERROR]", "[CRITICAL]", "Traceback")


@pytest.fixture
def secured(tmp_path) -> Iterator[Secured]:
    made = certificates(tmp_path)
    env, ports = settings(made)
    for name in ("SSL", "WS", "WSS", "TCP"):
        env[f"EMQX_LISTENER__{name}__EXTERNAL__HANDSHAKE_TIMEOUT"] = "5s"
    env["EMQX_LISTENER__WSS__EXTERNAL__MAX_CONNECTIONS"] = "1000"
    env["EMQX_ZONE__EXTERNAL__IDLE_TIMEOUT"] = "5s"
    env["EMQX_ZONE__EXTERNAL__MAX_MQUEUE_LEN"] = "0"
    process = BrokerProcess(tmp_path / "broker", env)
    process.tmp_path.mkdir()
    process.start()
    yield Secured(process, made, **ports)
    process.kill9()


@pytest.mark.timeout(SECONDS + 240)
def test_books_balance_after_a_soak(secured):
    seed = int(os.environ.get("SOAK_SEED", random.randrange(1 << 30)))
    chance = random.Random(seed)
    streams = []
    for transport in TRANSPORTS:
        for qos in (1, 2):
            place, topic = Place(secured, transport, VERSIONS[transport]), f"stream/{transport}/{qos}"
            streams.append((Publisher(f"p-{transport}-{qos}", qos, topic, place),
                            Subscriber(f"s-{transport}-{qos}", qos, topic, place)))
    pollers = Pollers(secured, "stream/rest")
    from_rest = Subscriber("s-rest", 1, pollers.topic, Place(secured, "ws"))
    subscribers = [*(subscriber for _, subscriber in streams), from_rest]
    for subscriber in subscribers:
        subscriber.subscribe()
    publishers = [publisher for publisher, _ in streams]
    pairs = [Pair(Place(secured, transport)) for transport in TRANSPORTS]
    comers = [Comers(Place(secured, transport)) for transport in TRANSPORTS]
    breaker = Breaker(secured, [*publishers, *subscribers], chance)
    vandals, slow, weather = Vandals(secured, chance), SlowReaders(Place(secured, "tcp")), Weather(secured, chance)
    memory = Memory(secured)

    descriptors = secured.broker.worker.num_fds()

    stop, end = threading.Event(), threading.Event()
    load = [threading.Thread(target=part.run, args=(stop,))
            for part in (*publishers, *pairs, *comers, breaker, vandals, slow, weather, pollers, memory)]
    readers = [threading.Thread(target=subscriber.run, args=(end,)) for subscriber in subscribers]
    for thread in (*readers, *load):
        thread.start()
    time.sleep(SECONDS)
    stop.set()
    for thread in load:
        thread.join(60)
    until(lambda: all(subscriber.last >= publisher.sent for publisher, subscriber in streams)
          and from_rest.last >= pollers.sent, 60)
    end.set()
    for thread in readers:
        thread.join(60)

    (node,) = secured.broker.api("GET", "/metrics/").json()
    print(f"\nseed {seed}, {SECONDS:.0f} s")
    for publisher, subscriber in streams:
        print(f"{publisher.topic}: {publisher.sent} sent, {subscriber.last} came, {subscriber.repeated} of them twice; "
              f"{publisher.connects} and {subscriber.connects} connections")
    print(f"QoS 0: {sum(pair.sent for pair in pairs)}; visits: {sum(part.visits for part in comers)}; "
          f"requests: {pollers.requests + pollers.sent}; broken: {dict(breaker.done)}; vandals: {vandals.acts}; "
          f"slow readers: {slow.held}; stalls of the store: {weather.stalls}; certificates: {weather.renewals}")
    grown = [memory.about(place / 10) for place in range(11)]
    print("worker and store in MiB:", [tuple(round(part / MIB, 1) for part in parts) for parts in grown])

    booked = (*publishers, *subscribers, *pairs, *comers, pollers)
    assert [f"{part}: {part.wrong[:3]}" for part in booked if part.wrong] == []
    for publisher, subscriber in streams:
        assert subscriber.last == publisher.sent == publisher.confirmed > SECONDS, publisher.topic
    assert from_rest.last == pollers.sent > 0
    assert sum(pair.sent for pair in pairs) == node["metrics"]["messages/qos0/received"]
    assert sum(memory.about(1.0)) < sum(memory.about(0.25)) * 1.05 + MAY_GROW
    assert until(lambda: not secured.broker.api("GET", "/connections/").json()["items"], 20)
    assert until(lambda: secured.broker.worker.num_fds() <= descriptors + len(TRANSPORTS), 20)
    assert secured.broker.stop() == 0
    assert not [line for line in secured.broker.stderr.splitlines() if any(word in line for word in QUIET_WORDS)]
