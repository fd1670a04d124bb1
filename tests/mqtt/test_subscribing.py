"""SUBSCRIBE and UNSUBSCRIBE are seen to in the core, and where handlers take part in Python: by the same rules."""

from __future__ import annotations

import struct
from typing import Any

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
})
wanted = st.tuples(st.sampled_from(NAMES), st.sampled_from((0, 1, 2, 0x08, 0x10, 0x21)))
odd = st.tuples(st.sampled_from(NAMES + MALFORMED), st.integers(0, 255))
subscribes = st.tuples(st.just(0x82), st.lists(wanted, min_size=1, max_size=6) | st.lists(odd, max_size=3),
                       st.sampled_from(({}, {}, {"subscription_id": 7}, {"user_property": ("k", "v")})))
unsubscribes = st.tuples(st.just(0xA2), st.lists(wanted, min_size=1, max_size=6) | st.lists(odd, max_size=2),
                         st.just({}))


class Twin:
    """A broker with two retained messages and one client; with `handlers`, somebody is told of subscriptions."""

    def __init__(self, version: int, rules: str | None, handlers: bool, zone: dict[str, Any]) -> None:
        self.bench = Bench(**zone)
        broker = self.bench.broker
        if rules is not None:
            broker.access.use(AclRules(parse_rules(rules)))
        if handlers:
            broker.hooks.add("session.subscribed", lambda *told: None)
            broker.hooks.add("client.unsubscribe", lambda *told: None)
        for topic in ("a/b", "a"):
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
    core, python = (Twin(version, rules, handlers, zone) for handlers in (False, True))
    try:
        for first, filters, props in packets:
            data = frame(core.client, first, filters, props)
            said = core.says(data)
            assert said == python.says(data)
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


def test_a_large_packet_is_seen_to_in_pieces() -> None:
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
