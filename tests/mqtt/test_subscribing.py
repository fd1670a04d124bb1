"""SUBSCRIBE and UNSUBSCRIBE, with handlers of the hooks and without."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emqx_mgmt.broker.auth.acl_rules import AclRules
from emqx_mgmt.settings.acl_file import parse_rules
from tests.clients.raw import Raw, packet_bytes, text
from tests.harness import Bench

NAMES = (
    "a", "a/b", "a/+", "a/#", "#", "+", "/", "a/b/c/d/e", "$SYS/x", "$share/g/a/b", "$share/g/#", "$share/h/a/+",
    "$queue/a/b", "c1/own", "joe/own", "ünï", "$sharex/a", "$queue",
)
MALFORMED = (
    "", "a#", "a/#/b", "+a", "$share/g", "$share//a", "$share/+/a", "$queue/", "$share/g/$queue/a", b"\xff", b"a\0",
)
RULES = (
    "{allow, all}.", '{deny, all, subscribe, ["a/#"]}. {allow, all}.', '{deny, all, subscribe, [{eq, "#"}, "b"]}.',
    '{allow, all, subscribe, ["%c/own"]}. {deny, {client, "c1"}, pubsub, ["#", "$SYS/#"]}.',
    '{deny, {user, "joe"}, pubsub, ["%u/own", "+/b"]}.',
    '{deny, {ipaddr, "127.0.0.0/8"}, subscribe, ["a"]}. {allow, {client, "other"}, pubsub, "#"}.',
)
zones = st.fixed_dictionaries({}, optional={
    "max_topic_levels": st.integers(1, 4), "max_subscriptions": st.integers(1, 3), "max_qos_allowed": st.integers(0, 1),
    "wildcard_subscription": st.just(False), "shared_subscription": st.just(False), "enable_acl": st.just(True),
    "acl_nomatch_allow": st.just(False), "acl_deny_disconnect": st.just(True), "enable_acl_cache": st.booleans(),
    "mountpoint": st.just("m/%c/"),
})
wanted = st.tuples(st.sampled_from(NAMES), st.sampled_from((0, 1, 2, 0x08, 0x10, 0x21)))
odd = st.tuples(st.sampled_from(NAMES + MALFORMED), st.integers(0, 255))
subscribes = st.tuples(st.just(0x82), st.lists(wanted, min_size=1, max_size=6) | st.lists(odd, max_size=3),
                       st.sampled_from(({}, {}, {"subscription_id": 7}, {"user_property": ("k", "v")})))
unsubscribes = st.tuples(st.just(0xA2), st.lists(wanted, min_size=1, max_size=6) | st.lists(odd, max_size=2),
                         st.just({}))


class Twin:
    """A broker with two retained messages and one client; with `handlers`, some that change nothing."""

    def __init__(self, version: int, rules: str | None, handlers: bool, zone: dict[str, Any]) -> None:
        self.bench = Bench(**zone)
        broker = self.bench.broker
        if rules is not None:
            broker.access.use(AclRules(parse_rules(rules)))
        if handlers:
            broker.hooks.add("client.subscribe", lambda codes, _client, _filters: codes)
            for point in ("session.subscribed", "client.unsubscribe", "session.unsubscribed"):
                broker.hooks.add(point, lambda *told: None)
        for topic in ("a/b", "a", "m/c1/a/b"):
            broker.publish(topic, b"kept", retain=True)
        told_why = {"request_problem": 1} if version == 5 else {}
        self.client = self.bench.client("c1", version, username="joe", **told_why)

    def says(self, data: bytes) -> tuple[Any, ...]:
        """What comes back, and what can be seen of it from elsewhere."""
        self.client.send(data)
        self.bench.turn()
        broker = self.bench.broker
        session = broker.sessions.get("c1")
        return (received(self.client), session and broker.router.subscriptions(session), broker.stats.rows(),
                broker.v32_metrics(), broker.metrics(),
                session and [session.channel.cached_verdict(1, name.encode()) for name in NAMES])


def received(client: Raw) -> tuple[bytes, bool]:
    """All that is there, and whether it ends with the connection."""
    got = b""
    try:
        while data := client.sock.recv(1 << 16):
            got += data
        return got, True
    except BlockingIOError:
        return got, False


def frame(client: Raw, first: int, filters: list[tuple[str | bytes, int]], props: dict[str, Any]) -> bytes:
    body = b"".join(text(name) + (bytes([options]) if first == 0x82 else b"") for name, options in filters)
    return packet_bytes(first, struct.pack("!H", 9) + client.props(props) + body)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from((3, 4, 5)), st.none() | st.sampled_from(RULES), zones,
       st.lists(subscribes | unsubscribes, min_size=1, max_size=5))
def test_with_handlers_and_without(version: int, rules: str | None, zone: dict[str, Any],
                                   packets: list[tuple[int, list[tuple[str, int]], dict[str, Any]]]) -> None:
    """Handlers that change nothing change nothing: neither answers nor subscriptions nor counters."""
    without, with_handlers = (Twin(version, rules, handlers, zone) for handlers in (False, True))
    try:
        for first, filters, props in packets:
            data = frame(without.client, first, filters, props)
            said = without.says(data)
            assert said == with_handlers.says(data)
            if said[0][1]:
                break
    finally:
        Bench.close_all()


def test_packets_that_end_too_early() -> None:
    """[MQTT-4.13.1-1] One byte less, anywhere, of a packet that says it is whole."""
    for first, body in ((0x82, b"\0\1\0\1a\1\0\3a/b\2"), (0xA2, b"\0\1\0\1a\0\3a/b")):
        for size in range(len(body)):
            if (first, size) in ((0x82, 6), (0xA2, 5)):
                continue  # a whole packet of one filter
            bench = Bench()
            client = bench.client("c1", 4)
            client.send(bytes([first, size]) + body[:size])
            client.closed()
            assert "c1" not in bench.broker.sessions


def test_a_large_packet_is_handled_in_pieces() -> None:
    """Others have their turn before it is done, and what comes behind it waits."""
    bench = Bench()
    many, other = bench.client("many", 4), bench.client("other", 4)
    names = [f"many/{i}" for i in range(20_000)]
    many.send(frame(many, 0x82, [(name, 1) for name in names], {}) + b"\xc0\0")
    for _ in range(3):
        other.silent()
    seen = bench.broker.router.counts.subscriptions
    assert 0 < seen < len(names)
    suback = many.packet()
    assert suback.codes == [1] * len(names)
    assert many.packet().kind == 13
    assert bench.broker.router.counts.subscriptions == len(names)
    many.send(frame(many, 0x82, [(f"more/{i}", 1) for i in range(20_000)], {}))
    other.silent()
    bench.broker.kick("many")
    bench.turn()
    assert bench.broker.router.counts.subscriptions == 0


def subscribed(bench: Bench, client_id: str = "c") -> list[tuple[str, int]]:
    """Filter and options of each subscription, in no order."""
    rows = bench.broker.router.subscriptions(bench.broker.sessions[client_id])
    return sorted((f"$share/{group}/{name}" if group else name, options) for name, group, options, _ in rows)


def test_what_handlers_see_and_change() -> None:
    """docs/plugins.md: they may replace filters in place and change codes; below the mountpoint are reports alone."""
    bench = Bench(mountpoint="m/%c/")
    seen: list[tuple[Any, ...]] = []

    def on_subscribe(codes: list[int], _client: Any, filters: list[tuple[str, int]]) -> list[int]:
        seen.append((list(codes), list(filters)))
        filters[0] = "other", filters[0][1]
        return [1, 0x97, *codes[2:]]

    def on_unsubscribe(_client: Any, filters: list[str]) -> None:
        seen.append(tuple(filters))
        filters[0] = "other"

    hooks = bench.broker.hooks
    hooks.add("client.subscribe", on_subscribe)
    hooks.add("client.unsubscribe", on_unsubscribe)
    hooks.add("session.subscribed", lambda session, *told: seen.append((session.client_id, *told)))
    hooks.add("session.unsubscribed", lambda session, *told: seen.append((session.client_id, *told)))
    client = bench.client("c")
    assert client.subscribe(("one", 2 | 8), "two", "$share/$queue/x") == [1, 0x97, 0]
    assert seen == [([2, 0, 0], [("one", 10), ("two", 0), ("$share/$queue/x", 0)]),
                    ("c", "m/c/other", 9, True), ("c", "$queue/m/c/x", 0, True)]
    assert subscribed(bench) == [("$share/$queue/m/c/x", 0), ("m/c/other", 9)]
    seen.clear()
    assert client.subscribe("one", "two", qos=2) == [1, 0x97]
    assert seen[1:] == [("c", "m/c/other", 1, False)]
    seen.clear()
    assert client.unsubscribe("one", "two", "$queue/x") == [0, 0x11, 0]
    assert seen == [("one", "two", "$queue/x"), ("c", "m/c/other"), ("c", "$queue/m/c/x")]
    assert subscribed(bench) == []


@pytest.mark.parametrize("spoilt", ["a/#/b", "", "$share//a", "a" * 65_536, "\ud800", "a\0"])
@pytest.mark.parametrize("mountpoint", [None, "m/"])
def test_filters_that_handlers_spoil(spoilt: str, mountpoint: str | None) -> None:
    """What a handler leaves is checked as what a client sends: it is refused alone, the others are subscribed."""
    bench = Bench(mountpoint=mountpoint)

    def on_subscribe(codes: list[int], _client: Any, filters: list[tuple[str, int]]) -> list[int]:
        filters[0] = spoilt, 0
        return codes

    def on_unsubscribe(_client: Any, filters: list[str]) -> None:
        filters[0] = spoilt

    bench.broker.hooks.add("client.subscribe", on_subscribe)
    bench.broker.hooks.add("client.unsubscribe", on_unsubscribe)
    client = bench.client("c")
    assert client.subscribe("a", "b") == [0x8F, 0]
    assert subscribed(bench) == [((mountpoint or "") + "b", 0)]
    assert client.unsubscribe("a", "b") == [0x11, 0]


def test_handlers_that_change_the_number_of_filters() -> None:
    """[MQTT-3.8.4-6] [MQTT-3.11.3-1] One code for each filter of the packet: nothing is subscribed to, and UNSUBSCRIBE
    is for the client's own filters."""
    bench = Bench()
    client = bench.client("c")
    client.subscribe("a", "b")
    bench.broker.hooks.add("client.subscribe", lambda codes, _client, filters: filters.pop() and codes)
    bench.broker.hooks.add("client.unsubscribe", lambda _client, filters: filters.clear())
    assert client.subscribe("c", "d") == [0x87, 0x87]
    assert client.unsubscribe("a", "x") == [0, 0x11]
    assert subscribed(bench) == [("b", 0)]


@pytest.mark.parametrize("blocking", [False, True])
def test_many_filters_with_handlers(blocking: bool) -> None:
    """They wait for nobody else, and what comes behind them waits for them. A client that hangs up meanwhile is
    subscribed to nothing more."""
    bench = Bench()
    bench.broker.hooks.add("client.subscribe", lambda codes, _client, _filters: codes, blocking=blocking)
    bench.broker.hooks.add("client.unsubscribe", lambda _client, _filters: None)
    client, other = bench.client("c"), bench.client("other")
    names = [f"many/{i}" for i in range(5_000)]
    client.send(frame(client, 0x82, [(name, 1) for name in names], {}) + b"\xc0\0")
    other.silent()
    assert bench.broker.router.counts.subscriptions < len(names)
    assert client.packet().codes == [1] * len(names)
    assert client.packet().kind == 13
    client.send(frame(client, 0xA2, [(name, 0) for name in names], {}) + b"\xc0\0")
    assert client.packet().codes == [0] * len(names)
    assert client.packet().kind == 13
    client.send(frame(client, 0x82, [(name, 1) for name in names], {}))
    bench.broker.kick("c")
    for _ in range(50):
        bench.turn()
    assert bench.broker.router.counts.subscriptions == 0


@pytest.mark.parametrize("point", ["client.subscribe", "session.subscribed"])
def test_a_handler_that_ends_the_connection(point: str) -> None:
    """Nothing is subscribed to from then on, and no SUBACK is sent."""
    bench = Bench()
    client = bench.client("c", session_expiry=100)

    def kick(*told: Any) -> Any:
        bench.broker.kick("c")
        return told[0]

    bench.broker.hooks.add(point, kick)
    client.send(frame(client, 0x82, [("a", 0), ("b", 0)], {}))
    client.expect(14, code=0x98)
    client.closed()
    assert subscribed(bench) == ([] if point == "client.subscribe" else [("a", 0)])


def test_a_subscription_below_a_mountpoint_is_replaced_at_the_limit() -> None:
    """[MQTT-3.8.4-3] It is not one more."""
    bench = Bench(mountpoint="m/", max_subscriptions=2)
    client = bench.client("c")
    assert client.subscribe("a", "$share/g/b", "c") == [0, 0, 0x97]
    assert client.subscribe("a", "$share/g/b", qos=1) == [1, 1]
