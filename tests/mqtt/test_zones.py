"""The keys of a zone, each shown by what it does (behaviour of EMQ X 3, sections 15 to 16.1)."""

from __future__ import annotations

import contextlib
import socket

import pytest

from emqx_mgmt.manage.rows import session as session_row
from tests.broker_process import free_ports
from tests.clients.raw import DISCONNECT, PUBACK
from tests.harness import Bench

# -- mountpoint ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_mountpoint_is_not_seen_by_its_client(version: int, qos: int):
    bench = Bench(mountpoint="devices/%c/")
    client = bench.client("one", version)
    client.subscribe("#", "t/+", qos=2)
    client.publish("t/x", b"hello", qos)
    packet = client.message()
    assert (packet.topic, packet.payload, packet.qos) == ("t/x", b"hello", qos)
    other = bench.client("two", version)
    other.subscribe("#", "devices/one/#")
    client.publish("t/x", b"again", qos)
    client.message()
    other.silent()


def test_what_lies_below_a_mountpoint():
    bench = Bench(mountpoint="devices/%c/")
    client = bench.client("one", will=("gone", b"", 0, False))
    client.subscribe("$share/g/in", "in")
    assert [row[:2] for row in bench.broker.router.subscriptions(bench.broker.sessions["one"])] == [
        ("devices/one/in", "g"), ("devices/one/in", None)]
    assert client.unsubscribe("$share/g/in") == [0]
    seen: list[str] = []
    bench.broker.hooks.add("message.publish", lambda message: seen.append(message.topic) or message)
    bench.broker.publish("devices/one/in", b"from outside")
    assert client.message().topic == "in"
    client.publish("kept", b"x", 1, retain=True)
    client.subscribe("kept")
    packet = client.message()
    assert (packet.topic, packet.retain) == ("kept", True)
    bench.gone(client)
    assert seen == ["devices/one/in", "devices/one/kept", "devices/one/gone"]


def test_mountpoint_and_runs_of_qos0():
    bench = Bench(mountpoint="m/")
    client = bench.client("client")
    client.subscribe("t")
    outside = Bench()
    assert outside
    bench.broker.publish("m/t", b"0")
    client.send(b"".join(client.publish_packet("t", b"%d" % n) for n in range(1, 5)))
    packets = [client.message() for _ in range(5)]
    assert [packet.payload for packet in packets] == [b"0", b"1", b"2", b"3", b"4"]
    assert {packet.topic for packet in packets} == {"t"}


@pytest.mark.parametrize(("template", "username", "mounted"), [
    ("%u/%c/", "user", "user/client/t"), ("%u/", None, "%u/t"), ("x%c/", "user", "x%c/t"), ("a", "user", "at")])
def test_placeholders_are_whole_levels(template: str, username: str | None, mounted: str):
    bench = Bench(mountpoint=template)
    client = bench.client("client", username=username)
    client.subscribe("t")
    assert bench.broker.router.subscriptions(bench.broker.sessions["client"])[0][0] == mounted


def test_acl_asks_about_the_topic_as_the_client_names_it():
    bench = Bench(mountpoint="m/", enable_acl=True)
    asked: list[tuple[int, str]] = []
    bench.broker.hooks.add("client.check_acl", lambda _client, access, topic: asked.append((access, topic)) or True)
    client = bench.client("client", will=("w", b"", 0, False))
    client.subscribe("s")
    client.publish("p0", b"", 0)
    client.publish("p1", b"", 1)
    assert asked == [(2, "w"), (1, "s"), (2, "p0"), (2, "p1")]


# -- who the client is --------------------------------------------------------------------------------


@pytest.mark.parametrize(("on", "username", "becomes"), [
    (True, "user", "user"), (True, None, "id"), (False, "user", "id")])
def test_use_username_as_clientid(on: bool, username: str | None, becomes: str):
    bench = Bench(use_username_as_clientid=on)
    client = bench.client("id", username=username)
    assert client
    assert list(bench.broker.sessions) == [becomes]


def test_max_clientid_len():
    bench = Bench(max_clientid_len=5)
    assert bench.client("12345")
    bench.open().connect("123456", code=0x85).closed()
    bench.open(4).connect("grüße", code=2).closed()  # bytes, not letters


@pytest.mark.parametrize(("version", "clean", "code"), [
    (3, True, 2), (3, False, 2), (4, True, 0), (4, False, 2), (5, True, 0), (5, False, 0)])
def test_an_empty_client_id(version: int, clean: bool, code: int):
    """[MQTT-3.1.3-6] [MQTT-3.1.3-8] MQTT 5 is told the one it gets [MQTT-3.1.3-7]."""
    bench = Bench()
    client = bench.open(version).connect("", code=code, clean=clean)
    if version == 5:
        assert list(bench.broker.sessions) == [client.connack.props["assigned_client_id"]]


# -- loops --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "ignored"), [(3, True), (4, True), (5, False)])
@pytest.mark.parametrize("qos", [0, 1])
def test_ignore_loop_deliver(version: int, ignored: bool, qos: int):
    bench = Bench(ignore_loop_deliver=True)
    client, other = bench.client("client", version), bench.client("other", version)
    for one in (client, other):
        one.subscribe("t", qos=1)
    client.send_publish("t", b"", qos, pid=9)
    assert other.message().topic == "t"
    client.send(b"\xc0\x00")
    kinds = []
    while (packet := client.packet()).kind != 13:
        kinds.append(packet.kind)
    assert (3 in kinds) is not ignored


# -- keepalive ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "limit"), [(3, 100), (4, 100), (5, 10)])
def test_server_keepalive(version: int, limit: int):
    """[MQTT-3.1.2-21] MQTT 5 is told, and held to it."""
    bench = Bench(server_keepalive=10)
    client = bench.client("client", version, keepalive=100)
    assert client.connack.props.get("server_keepalive") == (10 if version == 5 else None)
    bench.later(1.5 * limit - 1)
    client.silent()
    bench.later(1.5 * limit + 1)
    if version == 5:
        client.expect(DISCONNECT, code=0x8D)
    client.closed()
    assert bench.door.ended == ["keepalive_timeout"]


@pytest.mark.parametrize("backoff", [0.5, 1.0])
def test_keepalive_backoff(backoff: float):
    bench = Bench(keepalive_backoff=backoff)
    client = bench.client("client", 4, keepalive=10)
    bench.later(20 * backoff - 1)
    client.silent()
    bench.later(20 * backoff + 1)
    client.closed()


def test_idle_timeout():
    """A client that connects and says nothing, or not enough."""
    bench = Bench(idle_timeout=5000)
    mute, slow, ready = bench.open(), bench.open(), bench.client("ready")
    slow.send(b"\x10\x20\x00")
    bench.turn()
    bench.later(6)
    mute.closed()
    slow.closed()
    ready.silent()
    assert bench.door.ended == ["idle_timeout", "idle_timeout"]


# -- what may be asked for ----------------------------------------------------------------------------


def test_max_subscriptions():
    """0x97 beyond it; a subscription made again is not one more."""
    bench = Bench(max_subscriptions=2)
    client = bench.client("client")
    assert client.subscribe("a", "b", "c") == [0, 0, 0x97]
    assert client.subscribe("a", "$share/g/a", qos=1) == [1, 0x97]
    client.unsubscribe("b")
    assert client.subscribe("c") == [0]
    assert bench.client("old", 4).subscribe("a", "b", "c") == [0, 0, 0x80]


def test_max_topic_levels():
    """MQTT 5 is told in SUBACK and PUBACK that 0x8F, 0x90; who cannot be told so is disconnected."""
    bench = Bench(max_topic_levels=3)
    client = bench.client("client")
    assert client.subscribe("a/b/c", "a/b/c/d", "#") == [0, 0x8F, 0]
    assert [client.publish("a/b/c/d", b"", qos) for qos in (1, 2)] == [0x90, 0x90]
    client.publish("a/b/c", b"still here", 1)
    assert client.message().payload == b"still here"
    client.silent()
    for version, qos in ((5, 0), (4, 0), (4, 1)):
        deep = bench.client("deep", version)
        deep.send_publish("a/b/c/d", b"", qos, pid=qos)
        if version == 5:
            deep.expect(DISCONNECT, code=0x90)
        deep.closed()
    client.silent()


def test_max_topic_levels_counts_what_the_client_names():
    """Not the mountpoint; and of an alias its topic."""
    bench = Bench(max_topic_levels=2, mountpoint="m/n/", max_topic_alias=5)
    client = bench.client("client")
    assert client.publish("a/b", b"", 1, topic_alias=1) == 0x10
    assert client.publish("", b"", 1, topic_alias=1) == 0x10
    assert client.publish("a/b/c", b"", 1, topic_alias=2) == 0x90
    assert client.publish("", b"", 2, topic_alias=2) == 0x90


def test_max_qos_allowed():
    """[MQTT-3.2.2-9] [MQTT-3.2.2-11]"""
    bench = Bench(max_qos_allowed=1)
    client = bench.client("client")
    assert client.connack.props["maximum_qos"] == 1
    assert client.subscribe("t", qos=2) == [1]
    client.publish("t", b"", 1)
    client.message()
    client.send_publish("t", b"", 2, pid=7)
    client.expect(DISCONNECT, code=0x9B)


def test_retain_available():
    """[MQTT-3.2.2-14]"""
    bench = Bench(retain_available=False)
    client = bench.client("client")
    assert client.connack.props["retain_available"] == 0
    client.send_publish("t", b"", retain=True)
    client.expect(DISCONNECT, code=0x9A)


def test_wildcard_subscription():
    """0xA2"""
    bench = Bench(wildcard_subscription=False)
    client = bench.client("client")
    assert client.connack.props["wildcard_available"] == 0
    assert client.subscribe("a/+", "#", "a", "$share/g/#") == [0xA2, 0xA2, 0, 0xA2]


def test_publish_limit():
    """So many in so long; what is more waits in the socket, and nothing is lost."""
    bench = Bench(publish_limit_count=5, publish_limit_period=10_000)
    reader, writer = bench.client("reader"), bench.client("writer")
    reader.subscribe("t")
    writer.send(b"".join(writer.publish_packet("t", b"%d" % n) for n in range(12)))
    bench.turn()
    for upto in (5, 10, 12):
        seen = [reader.message().payload for _ in range(upto - (5 if upto > 5 else 0) - (5 if upto > 10 else 0))]
        assert seen[-1] == b"%d" % (upto - 1)
        reader.silent()
        bench.later(11)


def test_request_response_information():
    """[MQTT-3.1.2-28] Only when asked for."""
    bench = Bench()
    assert "response_information" not in bench.client("a").connack.props
    assert "response_information" not in bench.client("b", request_response=0).connack.props
    assert bench.client("c", request_response=1).connack.props["response_information"] == "answers/c"


@pytest.mark.parametrize("on", [True, False])
def test_enable_stats(on: bool):
    """Sessions show their statistics, or zeros."""
    bench = Bench(enable_stats=on, max_inflight=7)
    client = bench.client("client")
    client.subscribe("t", qos=1)
    client.publish("t", b"", 1)
    row = session_row("node", bench.broker.sessions["client"])
    assert (row.deliver_msg, row.inflight_len, row.subscriptions_count) == ((1, 1, 1) if on else (0, 0, 0))
    assert row.max_inflight == 7


# -- subscription options -----------------------------------------------------------------------------


@pytest.mark.parametrize("qos", [0, 1])
def test_no_local(qos: int):
    """[MQTT-3.8.3-3]"""
    bench = Bench()
    client, other = bench.client("client"), bench.client("other")
    client.subscribe(("t", 1 | 4))
    client.send_publish("t", b"own", qos, pid=5)
    if qos:
        client.expect(PUBACK, pid=5)
    other.publish("t", b"other's", 1)
    assert client.message().payload == b"other's"


@pytest.mark.parametrize(("options", "kept"), [(0, False), (8, True)])
def test_retain_as_published(options: int, kept: bool):
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
    bench = Bench()
    client, writer = bench.client("client"), bench.client("writer")
    client.subscribe(("t", options))
    writer.publish("t", b"1", 1, retain=True)
    assert client.message().retain is kept
    writer.publish("t", b"2", 0)
    assert not client.message().retain


def test_retain_handling():
    """[MQTT-3.3.1-9] always, [MQTT-3.3.1-10] only when new, [MQTT-3.3.1-11] never"""
    bench = Bench()
    bench.client("writer").publish("t", b"kept", 1, retain=True)
    client = bench.client("client")
    for handling, comes in ((2, False), (1, False), (0, True), (0, True), (1, False)):
        client.subscribe(("t", handling << 4))
        if comes:
            assert client.message().retain
        client.silent()
    client.unsubscribe("t")
    client.subscribe(("t", 1 << 4))
    assert client.message().retain


@pytest.mark.parametrize("qos", [0, 1])
def test_overlapping_subscriptions(qos: int):
    """[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] One copy, the highest QoS, all identifiers."""
    bench = Bench()
    client, writer = bench.client("client"), bench.client("writer")
    client.subscribe("a/+", qos=0, subscription_id=1)
    client.subscribe("a/#", qos=2, subscription_id=300)
    client.subscribe("#", qos=1)
    client.subscribe("a/b", qos=1, subscription_id=268_435_455)
    writer.publish("a/b", b"", qos)
    packet = client.message()
    assert packet.qos == qos
    assert sorted(packet.props["subscription_id"]) == [1, 300, 268_435_455]
    client.silent()
    client.subscribe("a/b", qos=1)  # [MQTT-3.8.4-3] replaced, without an identifier
    writer.publish("a/b", b"", qos)
    assert sorted(client.message().props["subscription_id"]) == [1, 300]


def test_retained_messages_bring_the_identifier():
    bench = Bench()
    bench.client("writer").publish("t", b"kept", 1, retain=True)
    client = bench.client("client")
    client.subscribe("t", subscription_id=7)
    assert client.message().props["subscription_id"] == [7]


# -- access.N of a listener ---------------------------------------------------------------------------


ACCESS = {
    "tcp": ({}, True),
    "ssl": ({"1": "deny 127.0.0.0/8"}, False),
    "ws": ({"1": "allow 127.0.0.1", "2": "deny all"}, True),
    "wss": ({"1": "deny all", "2": "allow 127.0.0.1"}, False),
    "tcp2": ({"2": "deny all", "10": "allow all"}, False),
    "tcp3": ({"1": "deny 10.0.0.0/8"}, True),
}


def test_access_rules(start_broker):
    """`listener.<protocol>.<name>.access.N`: the first rule that fits decides, on listeners of every kind."""
    ports, env = dict(zip(ACCESS, free_ports(len(ACCESS)), strict=True)), {}
    for name, (rules, _) in ACCESS.items():
        key = f"EMQX_LISTENER__{name.rstrip('23').upper()}__{name.upper()}"
        env[key] = f"127.0.0.1:{ports[name]}"
        env |= {f"{key}__ACCESS__{number}": rule for number, rule in rules.items()}
    broker = start_broker(env=env)
    for name, (_, admitted) in ACCESS.items():
        answer = b""
        with socket.create_connection(("127.0.0.1", ports[name]), timeout=20) as sock, \
                contextlib.suppress(ConnectionError):
            sock.sendall(HELLO[name.rstrip("23")])
            answer = sock.recv(1)
        assert bool(answer) is admitted, name
    rows = broker.api("GET", "nodes/emqx@127.0.0.1/listeners").json()
    refused = {row["listen_on"]: row["shutdown_count"] for row in rows}
    for name, (_, admitted) in ACCESS.items():
        assert admitted or refused[f"127.0.0.1:{ports[name]}"] == {"access_denied": 1}


# Something that is answered, by a listener of each kind.
HELLO = {
    "tcp": b"\x10\x0c\0\4MQTT\4\2\0\0\0\0",
    "ssl": b"\x15\3\1\0\2\1\0 no TLS",
    "ws": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "wss": b"\x15\3\1\0\2\1\0 no TLS",
}
