"""The routing core alone: a million wildcard filters, one filter with 100,000 subscribers, a million retained topics.

    python benchmarks/bench_router.py [FILTERS]
    python benchmarks/bench_router.py --json            one shape of filters only, for the comparison

Prints bytes a filter (growth of the process's resident memory) and, for each second of processor time, subscribes,
cold matches (every topic new to the cache), cached matches and unsubscribes, all through the Python methods. Asserts
that every topic found exactly the subscriber it should, and that the memory came back.
"""

import gc
import json
import random
import resource
import sys
import time
from dataclasses import asdict, dataclass

from router_ext.message.message import Message
from router_ext.message.retained_store import RetainedStore
from router_ext.routing.router import Router, Subscriber

SUBSCRIBERS = 10_000
SHAPES = {  # name -> (filter, a topic that only this filter matches)
    "telemetry": ("fleet/{0:07d}/+/state/#", "fleet/{0:07d}/engine/state/rpm"),
    "leading +": ("+/{0:07d}/status", "berlin/{0:07d}/status"),
    "long tail": (
        "site/{0:07d}/building/+/floor/+/room/+/sensor/#",
        "site/{0:07d}/building/b/floor/3/room/12/sensor/t",
    ),
    "two forks": ("{1}/+/{0:07d}/+/set", "{1}/gateway/{0:07d}/valve/set"),
}


@dataclass(frozen=True, slots=True)
class FilterFigures:
    """Bytes of memory a filter, what a second of processor time does, and the bytes left when all are gone."""

    bytes: float
    subscribes: float
    cold: float
    cached: float
    unsubscribes: float
    left: int

    def __str__(self) -> str:
        return (
            f"{self.bytes:6.1f} B/filter  {self.subscribes:9,.0f} subscribes/s  {self.cold:9,.0f} cold matches/s  "
            f"{self.cached:10,.0f} cached/s  {self.unsubscribes:9,.0f} unsubscribes/s  {self.left / 1e6:5.2f} MB left"
        )


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def rate(count: int, began: float) -> float:
    return count / (time.process_time() - began)


def million_filters(name: str, count: int) -> FilterFigures:
    filter_form, topic_form = SHAPES[name]
    filters = [filter_form.format(i, i % 1000).encode() for i in range(count)]
    topics = [topic_form.format(i, i % 1000).encode() for i in range(count)]
    order = list(range(count))
    random.Random(1).shuffle(order)
    cold_topics = [topics[i] for i in order]
    router = Router()
    subscribers = [Subscriber() for _ in range(SUBSCRIBERS)]
    router.subscribe(b"warm/+", subscribers[0], 0)
    router.unsubscribe(b"warm/+", subscribers[0])
    gc.collect()

    before = resident()
    began = time.process_time()
    for i, topic_filter in enumerate(filters):
        router.subscribe(topic_filter, subscribers[i % SUBSCRIBERS], 1)
    subscribes = rate(count, began)
    grown = resident() - before
    assert router.counts == (count, count, count, 0)

    began = time.process_time()
    found = router.count_recipients(cold_topics)
    cold = rate(count, began)
    assert found == count, found
    hot_topics = cold_topics[:1000] * (count // 1000)
    began = time.process_time()
    found = router.count_recipients(hot_topics)
    hot = rate(len(hot_topics), began)
    assert found == len(hot_topics), found
    del hot_topics
    for i in order[:1000]:
        assert router.recipients(topics[i]) == [(subscribers[i % SUBSCRIBERS], None, 1, [])]

    began = time.process_time()
    for i in order:
        router.unsubscribe(filters[i], subscribers[i % SUBSCRIBERS])
    unsubscribes = rate(count, began)
    assert router.counts == (0, 0, 0, 0)
    assert router.recipients(topics[0]) == []
    left = resident() - before
    assert left < grown / 20 + 4_000_000, left
    return FilterFigures(grown / count, subscribes, cold, hot, unsubscribes, left)


def one_filter(count: int) -> None:
    router = Router()
    subscribers = [Subscriber() for _ in range(count)]
    began = time.process_time()
    for subscriber in subscribers:
        router.subscribe(b"news/#", subscriber, 0)
    subscribes = rate(count, began)
    began = time.process_time()
    for _ in range(20):
        router.subscribe(b"other", subscribers[0], 0)  # a change: the next match is cold
        assert router.count_recipients([b"news/today"]) == count
        router.unsubscribe(b"other", subscribers[0])
    cold = (time.process_time() - began) / 20
    random.Random(2).shuffle(subscribers)
    began = time.process_time()
    for subscriber in subscribers:
        router.unsubscribe(b"news/#", subscriber)
    unsubscribes = rate(count, began)
    assert router.counts == (0, 0, 0, 0)
    print(
        f"one filter, {count:,} subscribers: {subscribes:,.0f} subscribes/s, {cold * 1e3:.2f} ms a cold match, "
        f"{unsubscribes:,.0f} unsubscribes/s"
    )


def retained(count: int) -> None:
    store = RetainedStore()
    messages = [Message.create(f"home/{i // 10:06d}/sensor/{i % 10}", b"21.5 C", retain=True) for i in range(count)]
    before = resident()
    began = time.process_time()
    for message in messages:
        store.add(message)
    puts = rate(count, began)
    grown = resident() - before
    homes = list(range(count // 10))
    random.Random(3).shuffle(homes)
    wanted = [f"home/{i:06d}/+/+".encode() for i in homes[:100_000]]
    began = time.process_time()
    found = sum(len(store.match(topic_filter)) for topic_filter in wanted)
    finds = rate(len(wanted), began)
    assert found == 10 * len(wanted), found
    began = time.process_time()
    assert len(store.match(b"#")) == count
    everything = time.process_time() - began
    assert store.clear() == count
    print(
        f"{count:,} retained topics: {grown / count:.1f} B/topic beside the message, {puts:,.0f} puts/s, "
        f"{finds:,.0f} wildcard look-ups/s of 10 topics each, {everything:.2f} s to list them all"
    )


def main() -> None:
    if sys.argv[1:] == ["--json"]:
        print(json.dumps(asdict(million_filters("telemetry", 1_000_000))))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for name in SHAPES:
        print(f"{name:>10}  {million_filters(name, count)}")
    one_filter(100_000)
    retained(count)


if __name__ == "__main__":
    main()
