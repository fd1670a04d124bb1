"""The subscription table, against a list of subscriptions gone through one by one."""

import gc
import random
import resource
import weakref
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from router_ext.routing.router import Router, Subscriber
from tests.core import naive

NO_LOCAL, RETAIN_AS_PUBLISHED = 4, 8
LONGEST = 65535
PEOPLE = 6
groups = st.sampled_from([None, None, "g", "$queue"])


class Client(Subscriber):
    """A subscriber with a name and weak references."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return self.name


def raw(text):
    return None if text is None else text.encode()


class Table(RuleBasedStateMachine):
    """Any sequence of changes; after each one everything the router shows is compared."""

    bounds: ClassVar = {}      # of the cache

    def __init__(self):
        super().__init__()
        self.router = Router(**self.bounds)
        self.people = [Client(f"client{i}") for i in range(PEOPLE)]
        self.rows = {}          # (filter, client number, group) -> (options, identifier), in order of subscription
        self.topics = ["a", "a/b", "$x/a"]

    @rule(topic_filter=naive.filters, who=st.integers(0, PEOPLE - 1), group=groups, opts=st.integers(0, 15),
          subid=st.integers(0, 3))
    def subscribe(self, topic_filter, who, group, opts, subid):
        new = self.router.subscribe(raw(topic_filter), self.people[who], opts, subid, raw(group))
        assert new == ((topic_filter, who, group) not in self.rows)
        self.rows[topic_filter, who, group] = opts, subid

    @rule(topic_filter=naive.filters, who=st.integers(0, PEOPLE - 1), group=groups)
    def unsubscribe_perhaps(self, topic_filter, who, group):
        was = self.rows.pop((topic_filter, who, group), None) is not None
        assert self.router.unsubscribe(raw(topic_filter), self.people[who], raw(group)) == was

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def unsubscribe(self, data):
        topic_filter, who, group = data.draw(st.sampled_from(list(self.rows)))
        del self.rows[topic_filter, who, group]
        assert self.router.unsubscribe(raw(topic_filter), self.people[who], raw(group))

    @rule(who=st.integers(0, PEOPLE - 1))
    def unsubscribe_all(self, who):
        mine = [key for key in self.rows if key[1] == who]
        assert self.router.unsubscribe_all(self.people[who]) == len(mine)
        for key in mine:
            del self.rows[key]

    @rule(topic=naive.names)
    def publish(self, topic):
        self.topics = [topic, *self.topics][:4]

    @invariant()
    def finds_who_it_should(self):
        for topic in self.topics * 2:      # the second time from the cache
            plain, shared = {}, Counter()
            for (topic_filter, who, group), (opts, subid) in self.rows.items():
                if not naive.matches(topic_filter, topic):
                    continue
                if group is not None:
                    shared[who, group, opts, (subid,) if subid else ()] += 1
                    continue
                plain.setdefault(who, []).append((opts, subid))
            found = [(self.people.index(client), *rest) for client, *rest in self.router.recipients(raw(topic))]
            assert {who: (opts & 15, sorted(ids)) for who, group, opts, ids in found if group is None} == {
                who: self.merged(rows) for who, rows in plain.items()}
            assert Counter((who, group, opts, tuple(ids)) for who, group, opts, ids in found if group) == shared
            assert len(found) == len(plain) + shared.total()

    @staticmethod
    def merged(rows):
        """One copy: highest QoS, all identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-3]."""
        options = [opts for opts, _ in rows]
        no_local = NO_LOCAL if all(opts & NO_LOCAL for opts in options) else 0
        as_published = RETAIN_AS_PUBLISHED if any(opts & RETAIN_AS_PUBLISHED for opts in options) else 0
        return max(opts & 3 for opts in options) | no_local | as_published, sorted(i for _, i in rows if i)

    @invariant()
    def lists_what_there_is(self):
        for who, client in enumerate(self.people):
            mine = [(f, g, *row) for (f, w, g), row in self.rows.items() if w == who]
            assert self.router.subscriptions(client) == mine
            assert client.subscription_count == len(mine)
        for (topic_filter, who, group), row in self.rows.items():
            found = self.router.lookup(raw(topic_filter), self.people[who], raw(group))
            assert found == (topic_filter, group, *row)
        routes = Counter(f for f, _ in {(f, g) for f, _, g in self.rows})
        assert Counter(self.router.routes()) == routes
        assert all(self.router.has_route(raw(f)) == n for f, n in routes.items())
        shared = sum(g is not None for _, _, g in self.rows)
        assert self.router.counts == (routes.total(), len(self.rows) - shared, len(self.rows), shared)

    def teardown(self):
        for client in self.people:
            self.router.unsubscribe_all(client)
        assert list(self.router.routes()) == []
        assert self.router.counts == (0, 0, 0, 0)


class TableWithTinyCache(Table):
    bounds: ClassVar = {"cache_topics": 2, "cache_bytes": 1}


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTableWithTinyCache = TableWithTinyCache.TestCase
TestTableWithTinyCache.settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


def found(router, topic):
    return sorted((client.name, opts, ids) for client, _, opts, ids in router.recipients(topic.encode()))


def router_of(*rows):
    """A router with `(client name, filter, opts, identifier)` subscribed."""
    router, people = Router(), {}
    for name, topic_filter, *rest in rows:
        router.subscribe(topic_filter.encode(), people.setdefault(name, Client(name)), *(rest or [0]))
    return router, people


# --- section 4.7 ---------------------------------------------------------------------------------------------------

def test_wildcards_first_leave_out_dollar_topics_mqtt_4_7_2_1():
    router, _ = router_of(("all", "#"), ("level", "+/broker"), ("both", "+/#"), ("sys", "$SYS/#"), ("own", "$SYS/+"))
    assert found(router, "$SYS/broker") == [("own", 0, []), ("sys", 0, [])]
    assert found(router, "$SYS") == [("sys", 0, [])]
    assert [name for name, *_ in found(router, "x/broker")] == ["all", "both", "level"]


def test_dollar_below_the_first_level_is_a_letter_mqtt_4_7_2_1():
    router, _ = router_of(("p", "a/+"), ("h", "a/#"))
    assert [name for name, *_ in found(router, "a/$b")] == ["h", "p"]


def test_hash_matches_the_parent_level_mqtt_4_7_1_2():
    router, _ = router_of(("a", "sport/tennis/#"), ("b", "sport/+/#"), ("c", "sport/#"), ("d", "sport/tennis/+"))
    assert [name for name, *_ in found(router, "sport/tennis")] == ["a", "b", "c"]
    assert [name for name, *_ in found(router, "sport")] == ["c"]


def test_empty_levels_count_mqtt_4_7_3():
    router, _ = router_of(
        ("one", "+"), ("two", "+/+"), ("lead", "/+"), ("three", "a//b"), ("end", "a/"), ("plain", "a"))
    assert [name for name, *_ in found(router, "/finance")] == ["lead", "two"]
    assert [name for name, *_ in found(router, "a//b")] == ["three"]
    assert [name for name, *_ in found(router, "a/")] == ["end", "two"]
    assert [name for name, *_ in found(router, "a")] == ["one", "plain"]


def test_topics_of_65535_levels():
    router, people = router_of(("a", "+/" * 30000 + "#"), ("b", "/" * 30000 + "+"), ("c", "#"))
    router.subscribe(b"/" * 29999 + b"x", people["c"], 0)       # parts a path of 30,000 levels in two
    assert [name for name, *_ in found(router, "/" * 30000)] == ["a", "b", "c"]
    assert [name for name, *_ in found(router, "/" * LONGEST)] == ["a", "c"]
    for client in people.values():
        router.unsubscribe_all(client)
    assert list(router.routes()) == []


def test_every_combination_of_plus_on_one_topic():
    """2,048 filters match the same topic: each is found, and one client holds them all."""
    depth = 11
    router, client = Router(), Client("c")
    for bits in range(1 << depth):
        levels = ["+" if bits >> i & 1 else "l" for i in range(depth)]
        router.subscribe("/".join(levels).encode(), client, bits % 3, bits + 1)
    [(who, group, opts, ids)] = router.recipients(b"/".join([b"l"] * depth))
    assert (who, group, opts, sorted(ids)) == (client, None, 2, list(range(1, (1 << depth) + 1)))


# --- section 3.3.4 and 3.8.4 ---------------------------------------------------------------------------------------

def test_overlapping_subscriptions_give_one_copy_mqtt_3_3_4_2_and_3():
    router, _ = router_of(("a", "t/#", 0, 7), ("a", "t/+", 2, 0), ("a", "t/x", 1, 9), ("b", "t/x", 0, 3))
    assert [(n, o, sorted(i)) for n, o, i in found(router, "t/x")] == [("a", 2, [7, 9]), ("b", 0, [3])]


def test_no_local_holds_only_where_every_matching_subscription_asks_mqtt_3_8_3_3():
    router, _ = router_of(("a", "t/#", NO_LOCAL), ("a", "t/+", NO_LOCAL | 1), ("b", "t/#", NO_LOCAL), ("b", "t/x", 0))
    assert found(router, "t/x") == [("a", NO_LOCAL | 1, []), ("b", 0, [])]


def test_the_same_filter_again_replaces_the_subscription_mqtt_3_8_4_3():
    router, people = router_of(("a", "t", 0, 5))
    assert found(router, "t") == [("a", 0, [5])]
    assert router.subscribe(b"t", people["a"], 2, 6) is False
    assert found(router, "t") == [("a", 2, [6])]
    assert router.counts.subscriptions == 1


def test_plain_and_shared_subscriptions_stand_side_by_side_mqtt_4_8_2():
    router, people = router_of(("a", "t", 1))
    assert router.subscribe(b"t", people["a"], 2, 0, b"g")
    assert sorted((g or "", o) for _, g, o, _ in router.recipients(b"t")) == [("", 1), ("g", 2)]
    assert router.has_route(b"t") == 2
    assert router.unsubscribe(b"t", people["a"])
    assert [g for _, g, _, _ in router.recipients(b"t")] == ["g"]
    assert router.unsubscribe(b"t", people["a"], b"g")
    assert not router.unsubscribe(b"t", people["a"], b"g")
    assert router.has_route(b"t") == 0


# --- section 4.8.2: shared groups ----------------------------------------------------------------------------------

def shared_router(strategy, members=5):
    router = Router(strategy)
    people = [Client(f"m{i}") for i in range(members)]
    for client in people:
        router.subscribe(b"t", client, 1, 0, b"g")
    return router, people


def picks(router, times, publisher=1):
    return [router.pick(b"t", publisher)[0][0] for _ in range(times)]


def test_each_group_gets_one_copy_mqtt_4_8_2():
    router, people = shared_router("random")
    router.subscribe(b"t", people[0], 1, 0, b"h")
    router.subscribe(b"+", people[1], 1, 0, b"g")        # the same name on another filter is another group
    assert sorted(group for _, group in router.pick(b"t")) == ["g", "g", "h"]


def test_round_robin_takes_turns():
    router, people = shared_router("round_robin")
    assert Counter(picks(router, 50)) == dict.fromkeys(people, 10)
    assert len(set(picks(router, 5))) == 5


def test_random_reaches_everyone():
    router, people = shared_router("random")
    spread = Counter(picks(router, 5000))
    assert set(spread) == set(people)
    assert all(800 < n < 1200 for n in spread.values())


def test_hash_keeps_a_publisher_to_one_member_and_spreads_publishers():
    router, people = shared_router("hash")
    assert len(set(picks(router, 20, publisher=7))) == 1
    spread = Counter(picks(router, 1, publisher)[0] for publisher in range(1000))
    assert set(spread) == set(people)
    assert all(120 < n < 280 for n in spread.values())


def test_sticky_stays_until_the_member_goes():
    router, people = shared_router("sticky")
    [chosen] = set(picks(router, 20, publisher=3))
    for other in people:
        if other is not chosen:
            router.unsubscribe(b"t", other, b"g")
            router.subscribe(b"t", other, 1, 0, b"g")
    assert set(picks(router, 20, publisher=3)) == {chosen}
    assert len({picks(router, 1, publisher)[0] for publisher in range(300)}) == 5
    router.unsubscribe_all(chosen)
    [after] = set(picks(router, 20, publisher=3))
    assert after is not chosen


@pytest.mark.parametrize("strategy", ["random", "round_robin", "sticky", "hash"])
def test_attempts_walk_every_member_once(strategy):
    router, people = shared_router(strategy)
    walked = [router.pick(b"t", 9, attempt) for attempt in range(7)]
    assert {row[0][0] for row in walked[:5]} == set(people)
    assert walked[5:] == [[], []]


@pytest.mark.parametrize("strategy", ["random", "round_robin", "sticky", "hash"])
def test_only_members_are_chosen_while_they_come_and_go(strategy):
    router, people = shared_router(strategy, 40)
    inside, chance = set(people), random.Random(3)
    for _ in range(3000):
        client = chance.choice(people)
        if client in inside and len(inside) > 1:
            inside.discard(client)
            router.unsubscribe_all(client)
        else:
            inside.add(client)
            router.subscribe(b"t", client, 1, 0, b"g")
        assert set(picks(router, 2, chance.randrange(99))) <= inside


def test_strategy_can_be_changed_and_is_checked():
    router, _ = shared_router("hash")
    router.strategy = "round_robin"
    assert router.strategy == "round_robin"
    assert len(set(picks(router, 5))) == 5
    with pytest.raises(ValueError, match="strategy"):
        router.strategy = "fastest"
    with pytest.raises(ValueError, match="strategy"):
        Router("fastest")


# --- ownership, limits, size ---------------------------------------------------------------------------------------

def test_a_subscription_keeps_its_subscriber_and_lets_it_go():
    router, client = Router(), Client("c")
    alive = weakref.ref(client)
    router.subscribe(b"t", client, 0)
    router.subscribe(b"t", client, 0, 0, b"g")
    del client
    gc.collect()
    assert [row[0] for row in router.recipients(b"t")] == [alive(), alive()]
    router.unsubscribe_all(alive())
    assert alive() is None
    assert router.recipients(b"t") == []


def test_one_who_leaves_gets_nothing_at_once_and_goes_piece_by_piece():
    """Nobody waits for tens of thousands of subscriptions to be removed; shared ones need another member now."""
    router, leaver, stays = Router(strategy="sticky"), Client("leaver"), Client("stays")
    for client in (leaver, stays):
        router.subscribe(b"both", client, 0)
        router.subscribe(b"+", client, 0)
        router.subscribe(b"t", client, 0, 0, b"g")
    for i in range(10_000):
        router.subscribe(b"many/%d" % i, leaver, 0)
    assert len(router.recipients(b"many/7")) == 1
    router.leave(leaver)
    assert router.recipients(b"many/7") == []
    assert {row[0] for topic in (b"both", b"t", b"x") for row in router.recipients(topic)} == {stays}
    assert {router.pick(b"t", publisher)[0][0] for publisher in range(50)} == {stays}
    pieces = 0
    while router.clear_up():
        pieces += 1
        assert 0 < leaver.subscription_count < 10_002
    assert pieces > 3
    assert router.counts == (3, 2, 3, 1)
    assert leaver.subscription_count == 0
    alive = weakref.ref(leaver)
    del leaver
    assert alive() is None


def test_the_highest_counts_are_kept():
    router, client = Router(), Client("c")
    for topic_filter, group in ((b"a", None), (b"b", None), (b"a", b"g"), (b"a", None)):
        router.subscribe(topic_filter, client, 0, 0, group)
    router.unsubscribe_all(client)
    router.subscribe(b"a", client, 0)
    assert router.counts == (1, 1, 1, 0)
    assert router.most == (3, 2, 3, 1)


def test_a_router_that_goes_lets_its_subscribers_go():
    router, client = Router(), Client("c")
    for i in range(10):
        router.subscribe(b"t/%d" % i, client, 0)
    del router
    assert client.subscription_count == 0
    Router().subscribe(b"t", client, 0)
    alive = weakref.ref(client)
    del client
    assert alive() is None


def test_a_subscriber_has_one_router_at_a_time():
    here, there, client = Router(), Router(), Client("c")
    here.subscribe(b"t", client, 0)
    with pytest.raises(ValueError, match="another router"):
        there.subscribe(b"t", client, 0)
    assert there.unsubscribe_all(client) == 0
    assert there.subscriptions(client) == []
    assert list(there.routes()) == []
    here.unsubscribe_all(client)
    assert there.subscribe(b"t", client, 0)


@pytest.mark.parametrize("bad", [b"", b"x" * (LONGEST + 1)])
def test_lengths_that_mqtt_cannot_say_are_refused(bad):
    router, client = Router(), Client("c")
    with pytest.raises(ValueError, match="65,535"):
        router.subscribe(bad, client, 0)
    with pytest.raises(ValueError, match="65,535"):
        router.recipients(bad)
    assert not router.unsubscribe(bad, client)


@pytest.mark.parametrize("call", [
    lambda router: router.subscribe(b"t", None, 0), lambda router: router.subscribe(None, Client("c"), 0),
    lambda router: router.unsubscribe(b"t", None), lambda router: router.unsubscribe_all(None),
    lambda router: router.subscriptions(None), lambda router: router.recipients(None),
])
def test_none_is_refused_and_not_followed(call):
    with pytest.raises(TypeError):
        call(Router())


def test_walking_the_routes_while_they_change():
    router, client = Router(), Client("c")
    filters = [b"f/%d" % i for i in range(1000)]
    for topic_filter in filters:
        router.subscribe(topic_filter, client, 0)
    seen = []
    for i, name in enumerate(router.routes()):
        seen.append(name)
        if i % 2:
            router.unsubscribe(filters[-i // 2], client)
        router.subscribe(b"new/%d" % i if i < 50 else b"new/0", client, 0)
    assert len(seen) == len(set(seen))
    assert set(router.routes()) & {f.decode() for f in filters} <= set(seen)


def test_100_000_subscribers_of_one_filter():
    count = 100_000
    router, people = Router(), [Subscriber() for _ in range(count)]
    for client in people:
        assert router.subscribe(b"news/#", client, 1)
    rows = router.recipients(b"news")
    assert len(rows) == count
    assert {id(row[0]) for row in rows} == {id(client) for client in people}
    random.Random(4).shuffle(people)
    for client in people[1:]:
        assert router.unsubscribe(b"news/#", client)
    assert router.recipients(b"news") == [(people[0], None, 1, [])]


def test_cache_stays_within_its_bounds():
    router, client = Router(cache_topics=100_000, cache_bytes=1 << 20), Client("c")
    router.subscribe(b"#", client, 0)
    empty = router.memory()
    for i in range(50_000):
        assert router.count_recipients([b"some/topic/%d" % i]) == 1
    assert router.memory() - empty < (1 << 20) + (1 << 17)


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


def test_unsubscribing_leaves_nothing_behind():
    """Plain, shared, short, long and very long filters; the process is as big after the tenth round as after the
    first, and the router keeps no more than a chunk of each kind of record."""
    router = Router("sticky")
    people = [Client(f"c{i}") for i in range(50)]
    sizes = []
    for _ in range(10):
        for i in range(20_000):
            tail = b"x" * (i % 400 if i % 40 == 0 else i % 60)
            group = b"g%d" % i if i % 9 == 0 else None
            router.subscribe(b"%d/+/%d/%s/#" % (i % 7, i, tail), people[i % 50], 1, i, group)
            if group:
                router.pick(b"%d/x/%d/%s" % (i % 7, i, tail))
        random.Random(5).shuffle(people)
        for client in people:
            router.unsubscribe_all(client)
        assert router.recipients(b"t") == []
        sizes.append(resident())
    assert sizes[-1] - sizes[1] < 3_000_000
    assert router.memory() < 6_000_000
