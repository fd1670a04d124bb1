"""Retained messages, against a dictionary gone through from end to end."""

import random
import timeit

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router_ext.message.message import Message
from router_ext.message.retained_store import RetainedStore
from tests.core import naive


def everything(store, topic_filter, looks=10_000):
    """All Messages of a cursor, `looks` at a time; with few, it goes through the records and not down the filter."""
    cursor, found = store.search(topic_filter.encode(), looks), []
    while not cursor.done:
        found += cursor.take(looks)
    return found


class Store(RuleBasedStateMachine):
    """Any sequence of changes; after each one every look-up is compared."""

    def __init__(self):
        super().__init__()
        self.store = RetainedStore()
        self.kept = {}          # topic -> (payload, monotonic milliseconds at which it ends, or None), oldest first
        self.now = 0
        self.published = 0
        self.filters = ["#", "+/#", "$x/#"]

    @rule(topic=naive.names, expiry=st.sampled_from([None, None, 1, 20]))
    def publish(self, topic, expiry):
        self.published += 1
        payload = b"%d" % self.published
        message = Message.create(topic, payload, retain=True, expiry=expiry, arrived=self.now)
        assert self.store.add(message) == (topic not in self.kept)
        self.kept.pop(topic, None)
        self.kept[topic] = payload, None if expiry is None else self.now + expiry * 1000

    @rule(topic=naive.names)
    def delete_perhaps(self, topic):
        assert self.store.delete(topic.encode()) == (self.kept.pop(topic, None) is not None)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def delete(self, data):
        topic = data.draw(st.sampled_from(list(self.kept)))
        del self.kept[topic]
        assert self.store.delete(topic.encode())

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds):
        self.now += seconds * 1000
        over = [topic for topic, (_, end) in self.kept.items() if end is not None and end <= self.now]
        assert sorted(self.store.sweep(self.now, 1 << 20)) == sorted(topic.encode() for topic in over)
        for topic in over:
            del self.kept[topic]

    @rule(topic_filter=naive.filters)
    def subscribe(self, topic_filter):
        self.filters = [topic_filter, *self.filters][:5]

    @rule()
    def clear(self):
        assert self.store.clear() == len(self.kept)
        self.kept.clear()

    @invariant()
    def finds_what_it_should_oldest_first(self):
        for topic_filter in self.filters:
            expected = [(topic, payload) for topic, (payload, _) in self.kept.items()
                        if naive.matches(topic_filter, topic)]
            assert [(m.topic, m.payload) for m in everything(self.store, topic_filter)] == expected
            few = everything(self.store, topic_filter, looks=1)
            assert sorted((m.topic, m.payload) for m in few) == sorted(expected)

    @invariant()
    def lists_what_there_is(self):
        assert len(self.store) == len(self.kept)
        assert sorted(self.store.topics()) == sorted(self.kept)
        for topic, (payload, _) in self.kept.items():
            assert topic.encode() in self.store
            assert self.store.get(topic.encode()).payload == payload


TestStore = Store.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def store_of(*topics):
    store = RetainedStore()
    for topic in topics:
        store.add(Message.create(topic, b"x", retain=True))
    return store


def topics(store, topic_filter):
    return [message.topic for message in everything(store, topic_filter)]


def test_a_new_message_replaces_the_last_one_mqtt_3_3_1_5():
    store = store_of("a", "b")
    assert store.add(Message.create("a", b"new", qos=1, retain=True)) is False
    assert [(m.topic, m.payload, m.qos) for m in everything(store, "#")] == [("b", b"x", 0), ("a", b"new", 1)]


def test_wildcards_first_leave_out_dollar_topics_mqtt_4_7_2_1():
    store = store_of("$SYS/broker", "SYS/broker", "$", "a/$b")
    assert topics(store, "#") == ["SYS/broker", "a/$b"]
    assert topics(store, "+/broker") == ["SYS/broker"]
    assert topics(store, "+") == []
    assert topics(store, "$SYS/#") == ["$SYS/broker"]
    assert topics(store, "a/+") == ["a/$b"]


def test_hash_matches_the_parent_level_and_empty_levels_count_mqtt_4_7():
    store = store_of("sport", "sport/", "sport/a/b", "/", "sports")
    assert topics(store, "sport/#") == ["sport", "sport/", "sport/a/b"]
    assert topics(store, "sport/+") == ["sport/"]
    assert topics(store, "+/+") == ["sport/", "/"]
    assert topics(store, "+") == ["sport", "sports"]


def test_messages_found_outlive_their_removal():
    store = store_of("a", "b")
    found = everything(store, "#")
    store.clear()
    assert [message.payload for message in found] == [b"x", b"x"]


@pytest.mark.parametrize("looks", [1, 3, 10_000])
def test_a_cursor_gives_what_was_there_when_it_was_made_and_is_there_still(looks):
    store = store_of(*(f"t/{i}" for i in range(100)), "gone/soon", "$SYS/x")
    cursor = store.search(b"#", looks)
    first = [message.topic for message in cursor.take(7)]
    rest = [f"t/{i}" for i in range(100) if f"t/{i}" not in first]
    store.delete(b"gone/soon")
    store.delete(rest[0].encode())                              # its record is free,
    store.add(Message.create("new", b"x", retain=True))         # and taken again
    store.add(Message.create(rest[1], b"newer", retain=True))   # delivered as it is published
    store.add(Message.create("t/0/below", b"x", retain=True))
    found = []
    while not cursor.done:
        found += [message.topic for message in cursor.take(looks)]
    assert sorted(found) == sorted(set(rest[2:]) - {"gone/soon"})


@pytest.mark.parametrize("bad", [b"", b"x" * 65536])
def test_lengths_that_mqtt_cannot_say_are_refused(bad):
    store = store_of("a")
    with pytest.raises(ValueError, match="65,535"):
        store.search(bad)
    assert store.get(bad) is None
    assert not store.delete(bad)


def test_a_sweep_looks_at_no_more_than_its_budget_mqtt_3_3_2_5():
    store = RetainedStore()
    for i in range(3000):
        store.add(Message.create(f"t/{i}", b"x", retain=True, expiry=1 if i % 3 else None))
    assert not store.sweep(999, 1 << 20)
    assert len(store.sweep(1000, 100)) <= 100
    turns = 0
    while len(store) > 1000:
        assert len(store.sweep(1000, 100)) <= 100
        turns += 1
    assert turns < 100
    assert not store.sweep(1 << 40, 1 << 20)
    assert sorted(store.topics()) == sorted(f"t/{i}" for i in range(0, 3000, 3))


def test_a_look_up_visits_what_its_filter_names_and_not_all_topics():
    """The cost of finding 10 topics by wildcard among 200,000 is that of finding them among 200."""
    small, big = RetainedStore(), RetainedStore()
    for store, rooms in ((small, 20), (big, 20_000)):
        for room in range(rooms):
            for sensor in range(10):
                store.add(Message.create(f"room/{room}/{sensor}/value", b"1", retain=True))
    assert topics(big, "room/7/+/value") == [f"room/7/{i}/value" for i in range(10)]
    took = [min(timeit.repeat(lambda s=s: everything(s, "room/7/+/value"), number=50, repeat=5)) for s in (small, big)]
    assert took[1] < took[0] * 50      # not 1,000


def test_clearing_leaves_nothing_behind():
    store, order = RetainedStore(), list(range(50_000))
    empty = store.memory()
    for _ in range(3):
        for i in order:
            store.add(Message.create(f"fleet/{i}/state/{'x' * (i % 50)}", b"v", retain=True))
        random.Random(6).shuffle(order)
        for i in order[::2]:
            assert store.delete(f"fleet/{i}/state/{'x' * (i % 50)}".encode())
        assert store.clear() == len(order) // 2
        assert store.memory() < empty + 1_500_000
