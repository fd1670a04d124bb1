"""$SYS topics and the modules (behaviour of EMQ X 3, sections 17 and 18)."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest

from emqx_mgmt.broker.telemetry.sys_topics import SysTopics
from emqx_mgmt.modules.presence import Presence
from emqx_mgmt.modules.rewrite import LONGEST_TOPIC, Rewrite, apart, literal_prefix
from emqx_mgmt.modules.subscription import AutoSubscribe
from emqx_mgmt.settings.kinds import parse_rewrite
from tests.broker_process import wait_until
from tests.clients.raw import Raw
from tests.harness import Bench

NODE = "emqx@127.0.0.1"


def sys_topics(bench: Bench) -> SysTopics:
    return SysTopics(bench.broker, NODE, 60, lambda: [NODE, "emqx@10.0.0.2"])


def news(client: Raw) -> dict[str, str]:
    """Everything on its way, payloads by topic."""
    client.send(b"\xc0\x00")
    found = {}
    while (packet := client.packet()).kind == 3:
        if packet.qos == 1:
            client.ack(4, packet.pid)
        found[packet.topic] = packet.payload.decode()
    return found


# -- $SYS ---------------------------------------------------------------------------------------------


def test_heartbeat_and_report():
    bench = Bench()
    topics = sys_topics(bench)
    client = bench.client("client")
    client.subscribe("$SYS/#")
    topics.beat()
    assert re.fullmatch(r"\d+ seconds", news(client)[f"$SYS/brokers/{NODE}/uptime"])
    topics.beat()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", news(client)[f"$SYS/brokers/{NODE}/datetime"])
    topics.report()
    got = news(client)
    assert got["$SYS/brokers"] == f"{NODE},emqx@10.0.0.2"
    assert got[f"$SYS/brokers/{NODE}/sysdescr"] == "EMQ X Broker"
    assert re.fullmatch(r"[\d.]+", got[f"$SYS/brokers/{NODE}/version"])
    assert got[f"$SYS/brokers/{NODE}/stats/connections/count"] == "1"
    assert got[f"$SYS/brokers/{NODE}/metrics/packets/connect"] == "1"
    assert len([topic for topic in got if "/stats/" in topic]) == 18
    assert len([topic for topic in got if "/metrics/" in topic]) == 43


def test_the_first_three_are_retained():
    bench = Bench()
    sys_topics(bench).report()
    client = bench.client("client")
    client.subscribe("$SYS/#")
    assert set(news(client)) == {"$SYS/brokers", f"$SYS/brokers/{NODE}/version", f"$SYS/brokers/{NODE}/sysdescr"}


def test_a_wildcard_does_not_reach_below_a_dollar():
    """[MQTT-4.7.2-1]"""
    bench = Bench()
    client = bench.client("client")
    client.subscribe("#", "+/brokers", "+/#")
    topics = sys_topics(bench)
    topics.report()
    topics.beat()
    assert news(client) == {}


def test_sys_messages_are_not_counted():
    bench = Bench()
    client = bench.client("client")
    client.subscribe("$SYS/brokers/+/uptime")
    before = bench.broker.metrics()
    sys_topics(bench).beat()  # datetime reaches nobody
    assert len(news(client)) == 1
    after = bench.broker.metrics()
    assert after["messages/sent"] == before["messages/sent"]
    assert after["messages/dropped"] == before["messages/dropped"]


def test_sys_topics_of_the_running_broker(start_broker):
    broker = start_broker(env={"EMQX_BROKER__SYS_INTERVAL": "1s"})
    client = Raw(socket.create_connection(("127.0.0.1", broker.internal_port)), 4).connect("client")
    client.subscribe("$SYS/brokers/+/stats/+/count", "$SYS/brokers/+/uptime")
    wanted = {f"$SYS/brokers/{NODE}/stats/sessions/count", f"$SYS/brokers/{NODE}/uptime"}
    got: set[str] = set()

    def everything() -> bool:
        got.update(news(client))
        return wanted <= got

    wait_until(everything, 20, "the $SYS topics")


# -- presence -----------------------------------------------------------------------------------------


def watched(bench: Bench, topic: str = "$SYS/brokers/+/clients/#") -> Raw:
    Presence(bench.broker, sys_topics(bench), 1).start()
    watcher = bench.client("watcher")
    watcher.subscribe(topic, qos=2)
    news(watcher)
    return watcher


@pytest.mark.parametrize("version", [3, 4, 5])
def test_presence(version: int):
    bench = Bench()
    watcher = watched(bench)
    client = bench.client("client", version, keepalive=30, username="user", clean=True)
    packet = watcher.message()
    assert (packet.topic, packet.qos) == (f"$SYS/brokers/{NODE}/clients/client/connected", 1)
    told = json.loads(packet.payload)
    assert told.pop("ts") > 1_000_000_000
    assert told == {
        "clientid": "client", "username": "user", "ipaddress": "127.0.0.1", "connack": 0, "proto_ver": version,
        "proto_name": "MQIsdp" if version == 3 else "MQTT", "clean_start": True, "keepalive": 30}
    client.disconnect()
    packet = watcher.message()
    assert packet.topic == f"$SYS/brokers/{NODE}/clients/client/disconnected"
    told = json.loads(packet.payload)
    assert told.pop("ts") > 1_000_000_000
    assert told == {"clientid": "client", "username": "user", "reason": "normal"}


def test_presence_of_those_who_are_refused():
    """As EMQ X: the news of a connection, with the reason code."""
    bench = Bench(max_qos_allowed=1, allow_anonymous=False)
    bench.broker.hooks.add("client.authenticate", lambda client: client.client_id != "nobody" or None)
    watcher = watched(bench)
    bench.open().connect("will", 0x9B, will=("t", b"", 2, False))
    bench.open(4).connect("nobody", 5)
    told = [json.loads(watcher.message().payload) for _ in range(2)]
    assert [(row["clientid"], row["connack"]) for row in told] == [("will", 0x9B), ("nobody", 0x87)]
    assert not news(watcher)


def test_presence_names_the_reason():
    bench = Bench()
    watcher = watched(bench, "$SYS/brokers/+/clients/+/disconnected")
    bench.gone(bench.client("closed"))
    kicked = bench.client("kicked")
    bench.broker.kick("kicked")
    silent = bench.client("silent", keepalive=1)
    bench.later(3)
    told = [json.loads(watcher.message().payload) for _ in range(3)]
    assert [row["reason"] for row in told] == ["closed", "kicked", "keepalive_timeout"]
    assert told[0]["username"] == "undefined"
    assert kicked
    assert silent


def test_take_over_is_no_absence():
    bench = Bench()
    watcher = watched(bench)
    clients = [bench.client("client", clean=False), bench.client("client", clean=False)]
    assert list(news(watcher)) == [f"$SYS/brokers/{NODE}/clients/client/connected"]
    assert clients


def test_presence_publishes_nothing_while_nobody_looks():
    bench = Bench()
    Presence(bench.broker, sys_topics(bench), 1).start()
    seen = []
    client = bench.client("client")
    client.subscribe("#")
    bench.engine.metrics.snapshot()
    publish = bench.broker.publish
    bench.broker.publish = lambda *args, **kw: seen.append(args) or publish(*args, **kw)
    bench.gone(bench.client("another"))
    assert seen == []


# -- subscription -------------------------------------------------------------------------------------


def test_automatic_subscriptions():
    bench = Bench()
    AutoSubscribe(bench.broker, [("clients/%c/in", 1), ("users/%u", 0)]).start()
    bench.client("writer").publish("clients/client/in", b"kept", 1, retain=True)
    client = bench.client("client", username="name", session_expiry=100)
    assert client.message().payload == b"kept"
    rows = bench.broker.router.subscriptions(bench.broker.sessions["client"])
    assert [(topic, options) for topic, _, options, _ in rows] == [("clients/client/in", 1), ("users/name", 0)]
    client.unsubscribe("clients/client/in")
    bench.gone(client)
    client = bench.client("client", clean=False)  # a resumed session is left as it is
    assert bench.broker.sessions["client"].subscription_count == 1


# -- rewrite ------------------------------------------------------------------------------------------

RULES = ["y/+/z/# ^y/(.+)/z/(.+)$ y/z/$2", "x/# ^x/y/(.+)$ z/y/$1", "x/y/+ ^x/y/(\\d+)$ z/y/$1/never"]


def rewriting(bench: Bench, rules: list[str] = RULES) -> None:
    Rewrite(bench.broker, [parse_rewrite(rule) for rule in rules]).start()


@pytest.mark.parametrize(("topic", "becomes"), [
    ("x/y/2", "z/y/2"), ("x/1/2", "x/1/2"), ("y/a/z/b", "y/z/b"), ("y/def", "y/def"), ("other", "other")])
def test_rewritten_publish(topic: str, becomes: str):
    bench = Bench()
    rewriting(bench)
    client = bench.client("client")
    client.subscribe("#")
    writer = bench.client("writer")
    writer.publish(topic, b"1", 1, user_property=("a", "b"), message_expiry=9)
    packet = client.message()
    assert packet.topic == becomes
    assert packet.props == {"user_property": [("a", "b")], "message_expiry": 9}
    writer.publish(topic, b"2", 0)
    assert client.message().topic == becomes


def test_rewritten_subscribe_and_unsubscribe():
    bench = Bench()
    rewriting(bench)
    client = bench.client("client")
    client.subscribe("x/y/2", "$share/g/x/y/3", "y/def")
    rows = bench.broker.router.subscriptions(bench.broker.sessions["client"])
    assert [(row[0], row[1]) for row in rows] == [("z/y/2", None), ("z/y/3", "g"), ("y/def", None)]
    assert client.unsubscribe("x/y/2", "$share/g/x/y/3", "x/y/4") == [0, 0, 0x11]


@pytest.mark.parametrize("expression", ["^x/(.+)/(.+)y$", "^(x|/|a)*(a|/)+y$", "(.*)(.*)(.*)y"])
def test_no_topic_keeps_an_expression_busy(expression: str):
    """Python's own expressions go back and try again, for minutes with a topic of 60 KB."""
    bench = Bench()
    rewriting(bench, [f"x/# {expression} z/$1"])
    client, writer = bench.client("client"), bench.client("writer")
    client.subscribe("#")
    for levels, code in ((LONGEST_TOPIC // 2 - 1, 0), (30_000, 0x90)):
        began = time.process_time()
        assert writer.publish("x/" + "a/" * levels, b"1", 1) == code
        assert time.process_time() - began < 0.5
    assert client.message().topic == "x/" + "a/" * (LONGEST_TOPIC // 2 - 1)
    client.silent()  # the other topic is longer than a rule takes


def test_long_filters_are_refused_where_a_rule_is_about_them():
    bench = Bench()
    rewriting(bench)
    client = bench.client("client")
    assert client.subscribe("x/" + "a" * LONGEST_TOPIC, "x/y/2", "z/" + "a" * LONGEST_TOPIC) == [0x8F, 0, 0]
    assert client.unsubscribe("x/" + "a" * LONGEST_TOPIC, "x/y/2") == [0x11, 0]


def test_a_topic_is_rewritten_once():
    bench = Bench()
    rewriting(bench, ["a/# ^a/(.+)$ b/$1", "b/# ^b/(.+)$ c/$1"])
    client = bench.client("client")
    client.subscribe("#")  # no rule fits this filter
    bench.client("writer").publish("a/1")
    assert client.message().topic == "b/1"


def test_only_topics_below_the_rules_are_looked_at():
    assert literal_prefix("x/y/#") == "x/y"
    assert literal_prefix("x/+/y") == "x/"
    assert literal_prefix("x") == "x"
    assert apart(["x/y", "x", "y/", "x/z"]) == ["x", "y/"]
    assert apart(["", "x"]) == [""]


@pytest.mark.parametrize("rule", ["x/# ^x", "x/# ( y", "x/# ^x/(.+)$ y/$2", "x/# ^(?=x) y", r"x/# ^(x)/\1 y"])
def test_a_rule_that_is_none_ends_the_start(rule: str):
    with pytest.raises(ValueError, match=r"must be|regular expression"):
        parse_rewrite(rule)


# -- all together -------------------------------------------------------------------------------------


def test_modules_of_the_running_broker(start_broker):
    broker = start_broker(env={
        "EMQX_MODULE__SUBSCRIPTION": "on", "EMQX_MODULE__SUBSCRIPTION__1__TOPIC": "mine/%c",
        "EMQX_MODULE__SUBSCRIPTION__1__QOS": "1", "EMQX_MODULE__REWRITE": "on",
        "EMQX_MODULE__REWRITE__RULE__1": "old/# ^old/(.+)$ mine/$1"})
    watcher = Raw(socket.create_connection(("127.0.0.1", broker.internal_port)), 4).connect("watcher")
    watcher.subscribe("$SYS/brokers/+/clients/client/+", qos=1)
    client = Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port)), 5).connect("client")
    assert json.loads(watcher.message().payload)["clientid"] == "client"
    client.publish("old/client", b"hello", 1)
    packet = client.message()
    assert (packet.topic, packet.payload, packet.qos) == ("mine/client", b"hello", 1)
    client.disconnect()
    assert json.loads(watcher.message().payload)["reason"] == "normal"
