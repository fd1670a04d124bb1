"""Under which names messages may be published and filters subscribed to: between what a client says and what the table
has lie mountpoints, rules of `module.rewrite`, handlers, and the broker's own `$` topics."""

from __future__ import annotations

import json
from typing import Any

import gevent
import pytest

from emqx_mgmt.broker.auth.acl_rules import AclRules
from emqx_mgmt.broker.hooks import Renames
from emqx_mgmt.broker.refused import PacketRefused
from emqx_mgmt.broker.telemetry.sys_topics import SysTopics
from emqx_mgmt.modules.presence import Presence
from emqx_mgmt.modules.rewrite import Rewrite
from emqx_mgmt.modules.subscription import AutoSubscribe
from emqx_mgmt.settings.acl_file import parse_rules
from emqx_mgmt.settings.kinds import parse_mountpoint, parse_rewrite
from router_ext.message.message import Message
from router_ext.protocol.topic import topic_matches
from tests.clients.raw import DISCONNECT, Raw
from tests.harness import Bench

LONGEST = 65535


def denying(bench: Bench, denied: str, asked: list[str] | None = None, **kw: Any) -> None:
    """An ACL that refuses what the filter `denied` matches."""
    def check(_client: object, _access: int, topic: str) -> bool:
        if asked is not None:
            asked.append(topic)
        return not topic_matches(denied, topic)

    bench.broker.hooks.add("client.check_acl", check, **kw)


def watcher(bench: Bench, *filters: str) -> Raw:
    """Sees what the table has: it is in no mountpoint, and nothing is refused to it."""
    mountpoint, bench.zone.mountpoint = bench.zone.mountpoint, ""
    client = bench.client("watcher")
    client.subscribe(*filters)
    bench.zone.mountpoint = mountpoint
    return client


# -- values in templates ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["victim/cmd", "a/", "/", "+", "#", "x#", "$SYS", "$share", "$delayed", "$x", "%u"])
@pytest.mark.parametrize("template", ["%c/", "dev/%c/", "a/%c"])
def test_a_client_id_does_not_lead_out_of_its_mountpoint(template: str, value: str):
    """0x85; return code 2 before MQTT 5."""
    bench = Bench(mountpoint=template)
    bench.open().connect(value, 0x85).closed()
    bench.open(4).connect(value, 2).closed()
    assert bench.client("victim")


@pytest.mark.parametrize("value", ["victim/cmd", "+", "#", "$SYS", "%c"])
def test_nor_does_a_user_name(value: str):
    """0x86; return code 4 before MQTT 5."""
    bench = Bench(mountpoint="u/%u/")
    bench.open().connect("c", 0x86, username=value).closed()
    bench.open(4).connect("c", 4, username=value).closed()
    assert bench.client("c", username="joe")


def test_what_a_template_does_not_name_is_free():
    bench = Bench(mountpoint="m/x%c/")
    assert bench.client("a/b", username="$u")


def test_a_user_proven_by_a_certificate_is_no_exception():
    bench = Bench(mountpoint="u/%u/")
    bench.door.identify = lambda _channel: "victim/cmd"
    bench.open().connect("c", 0x86).closed()


@pytest.mark.parametrize("value", ["victim/cmd", "+", "$SYS", "%c"])
def test_automatic_subscriptions_that_do_not_fit_are_not_made(value: str):
    bench = Bench()
    AutoSubscribe(bench.broker, [("%c/in", 0), ("c/%c", 0), ("u/%u", 0), ("all", 1)]).start()
    assert bench.client(value, username="joe")
    rows = [row[0] for row in bench.broker.router.subscriptions(bench.broker.sessions[value])]
    assert sorted(rows) == ["all", "u/joe"]


def test_automatic_subscriptions_too_long_for_the_mountpoint():
    bench = Bench(mountpoint="m/")
    AutoSubscribe(bench.broker, [("%c/in", 0), ("all", 0)]).start()
    assert bench.client("c" * (LONGEST - 4))
    [session] = bench.broker.sessions.values()
    assert [row[0] for row in bench.broker.router.subscriptions(session)] == ["m/all"]


@pytest.mark.parametrize(("rule", "answer"), [
    ('{allow, all, publish, ["%c/#"]}.', None),   # a rule that allows is not widened
    ('{deny, all, publish, ["%c/#"]}.', False),   # and one that denies is not escaped
    ('{deny, all, publish, ["x/%c"]}.', None)])
def test_acl_rules_with_a_dollar(rule: str, answer: bool | None):
    bench = Bench(allow_sys_publish=True)
    assert bench.client("$SYS")
    peer = bench.broker.sessions["$SYS"].channel.context
    assert AclRules(parse_rules(rule)).may_publish(peer, "$SYS/x") is answer


@pytest.mark.parametrize("text", ["$SYS/x/", "$share/g/", "$queue/"])
def test_mountpoints_of_other_mechanisms_are_no_setting(text: str):
    with pytest.raises(ValueError, match="does not begin with"):
        parse_mountpoint(text)


@pytest.mark.parametrize("client_id", ["victim/x", "+", "$SYS", "c" * 65528])
def test_no_response_information_that_would_be_another_client_s_or_no_topic(client_id: str):
    """[MQTT-3.1.2-28] leaves it to the server."""
    bench = Bench()
    client = bench.client(client_id, request_response=1)
    assert "response_information" not in client.connack.props


# -- lengths of two parts -----------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "code"), [(5, 0x90), (4, 3), (3, 3)])
def test_a_will_too_long_below_its_mountpoint(version: int, code: int):
    bench = Bench(mountpoint="m/")
    bench.open(version).connect("c", code, will=("t" * LONGEST, b"x", 0, True)).closed()
    bench.open(version).connect("c", code, will=("t" * (LONGEST - 1), b"x", 0, True)).closed()
    seen = watcher(bench, "m/#")
    bench.gone(bench.client("c", version, will=("t" * (LONGEST - 2), b"x", 0, True)))
    assert seen.message().topic == "m/" + "t" * (LONGEST - 2)


def test_a_will_of_too_many_levels():
    """`max_topic_levels` holds for it as for PUBLISH."""
    bench = Bench(max_topic_levels=2)
    bench.open().connect("c", 0x90, will=("a/b/c", b"", 0, False)).closed()
    assert bench.client("c", will=("a/b", b"", 0, False))


@pytest.mark.parametrize("version", [5, 4])
@pytest.mark.parametrize(("fits", "too_long"), [
    ("f" * (LONGEST - 2), "f" * (LONGEST - 1)),
    ("$share/g/" + "f" * (LONGEST - 11), "$share/g/" + "f" * (LONGEST - 10)),
    ("$queue/" + "f" * (LONGEST - 9), "$queue/" + "f" * (LONGEST - 8))])
def test_filters_too_long_below_the_mountpoint(version: int, fits: str, too_long: str):
    """0x8F for that filter only; 0x80 before MQTT 5. Nobody is disconnected."""
    bench = Bench(mountpoint="m/")
    client = bench.client("c", version)
    assert client.subscribe("a", too_long, fits) == [0, 0x8F if version == 5 else 0x80, 0]
    assert client.unsubscribe(too_long, fits) == ([0x11, 0] if version == 5 else [])
    client.silent()


def test_a_topic_too_long_below_the_mountpoint():
    bench = Bench(mountpoint="m/", max_topic_alias=3, max_topic_alias_size=2 * LONGEST)
    client = bench.client("c")
    assert client.publish("t" * (LONGEST - 2), b"", 1) == 0x10
    client.send_publish("t" * (LONGEST - 1), b"", 1, pid=9, topic_alias=1)
    client.expect(DISCONNECT, code=0x90)


def test_rewritten_names_stay_within_what_mqtt_can_say():
    bench = Bench()
    Rewrite(bench.broker, [parse_rewrite(f"a/# ^a/(.+)$ {'b' * (LONGEST - 1010)}$1")]).start()
    client = bench.client("c")
    topic = "a/" + "t" * 1011
    assert client.subscribe(topic, "$share/g/a/" + "t" * 1010) == [0, 0x8F]
    assert client.publish("a/" + "t" * 5000, b"", 1) == 0x90  # longer than a rule takes
    client.publish(topic, b"x")
    assert client.message().topic == topic


def test_a_client_id_too_long_for_presence_tells_nothing_else():
    """Its topic was cut, and its tail taken for the payload, before there was a check."""
    bench = Bench()
    Presence(bench.broker, SysTopics(bench.broker, "n@h", 60, list), 0).start()
    seen = bench.client("watcher")
    seen.subscribe("$SYS/#", "#")
    assert bench.client("c" * LONGEST)
    assert bench.client("c")
    assert seen.message().topic == "$SYS/brokers/n@h/clients/c/connected"
    with pytest.raises(ValueError, match="65,535"):
        Message.create("t" * (LONGEST + 1))


# -- $SYS and other $ topics --------------------------------------------------------------------------


SYS = ["$SYS", "$SYS/brokers", "$SYS/brokers/n@h/clients/victim/connected", "$SYS/broker/connection/c/state"]


@pytest.mark.parametrize("topic", SYS)
@pytest.mark.parametrize("enable_acl", [True, False])
def test_clients_do_not_publish_to_sys(topic: str, enable_acl: bool):
    """[MQTT-4.7.2-1] 0x87 whatever the ACL says, also for super-users and wills."""
    bench = Bench(enable_acl=enable_acl)
    bench.broker.hooks.add("client.check_acl", lambda *_: True)
    seen = watcher(bench, "$SYS/#")
    client = bench.client("c")
    assert [client.publish(topic, b"forged", qos, retain=True) for qos in (1, 2)] == [0x87, 0x87]
    client.publish(topic, b"forged", 0)
    bench.client("old", 4).publish(topic, b"forged", 1)
    bench.open().connect("w", 0x87, will=(topic, b"forged", 0, True)).closed()
    seen.silent()
    assert bench.engine.metrics["dropped/acl_denied"] == 4


def test_nor_do_super_users():
    from emqx_mgmt.broker.auth.client import Grant

    bench = Bench()
    bench.broker.hooks.add("client.authenticate", lambda _client: Grant(is_super=True))
    assert bench.client("c").publish("$SYS/x", b"", 1) == 0x87
    bench.open().connect("w", 0x87, will=("$SYS/x", b"", 0, False)).closed()


def test_below_a_mountpoint_sys_is_a_name_like_others():
    bench = Bench(mountpoint="m/")
    seen = watcher(bench, "m/#")
    assert bench.client("c").publish("$SYS/x", b"", 1) == 0
    assert seen.message().topic == "m/$SYS/x"


def test_a_setting_allows_it_and_the_acl_decides_then():
    bench = Bench(enable_acl=True, allow_sys_publish=True)
    denying(bench, "$SYS/no")
    seen = watcher(bench, "$SYS/#")
    client = bench.client("c")
    assert [client.publish(topic, b"", 1) for topic in ("$SYS/no", "$SYS/yes")] == [0x87, 0]
    assert seen.message().topic == "$SYS/yes"


def bridge(bench: Bench, client_id: str, code: int = 0, **options: Any) -> Raw:
    """A CONNECT as mosquitto's bridges send it: with 0x80 in the protocol level."""
    client = bench.open(4)
    packet = bytearray(client.connect_packet(client_id, **options))
    packet[packet.index(b"MQTT") + 4] |= 0x80
    client.send(bytes(packet))
    client.expect(2, code=code)
    return client


def test_a_bridge_tells_its_own_state():
    bench = Bench(enable_acl=True)
    denying(bench, "$SYS/broker/connection/denied/state")
    seen = watcher(bench, "$SYS/#")
    topic = "$SYS/broker/connection/b1/state"
    client = bridge(bench, "b1", will=(topic, b"0", 1, True))
    client.publish(topic, b"1", 1, retain=True)
    client.publish("$SYS/broker/connection/b2/state", b"forged", 1, retain=True)
    client.publish("$SYS/broker/version", b"forged", 1, retain=True)
    bench.gone(client)
    assert [(packet.topic, packet.payload) for packet in (seen.message(), seen.message())] == [
        (topic, b"1"), (topic, b"0")]
    seen.silent()
    bridge(bench, "b3", 5, will=(topic, b"0", 1, True)).closed()
    bridge(bench, "denied", 5, will=("$SYS/broker/connection/denied/state", b"0", 1, True)).closed()


def test_other_dollar_topics_are_a_setting():
    """By default they are published; where they are not, those that a handler gives a meaning to still are."""
    bench = Bench()
    assert bench.client("c").publish("$other/x", b"", 1) == 0x10
    bench = Bench(allow_dollar_publish=False)
    bench.broker.hooks.add("message.publish", lambda message: message, prefix="$owned/")
    client = bench.client("c")
    topics = {"$other/x": 0x87, "$": 0x87, "$owned/x": 0x10, "a/$x": 0x10}
    assert {topic: client.publish(topic, b"", 1) for topic in topics} == topics
    bench.open().connect("w", 0x87, will=("$other/x", b"", 0, False)).closed()


# -- names that change --------------------------------------------------------------------------------


def test_the_acl_is_asked_about_the_name_that_a_rule_makes():
    bench = Bench(enable_acl=True)
    asked: list[str] = []
    denying(bench, "secret/#", asked)
    Rewrite(bench.broker, [parse_rewrite("open/# ^open/(.+)$ secret/$1"), parse_rewrite("a/# ^a/(.+)$ b/$1")]).start()
    seen = watcher(bench, "secret/#", "b/#")
    asked.clear()
    client = bench.client("c")
    assert [client.publish(topic, b"", 1) for topic in ("open/x", "a/x")] == [0x87, 0]
    client.publish("open/y", b"", 0)
    client.silent()
    assert asked == ["open/x", "secret/x", "a/x", "b/x", "open/y", "secret/y"]
    bench.open().connect("w", 0x87, will=("open/x", b"", 0, False)).closed()
    assert seen.message().topic == "b/x"
    seen.silent()


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_also_where_the_answer_takes_its_time(qos: int):
    bench = Bench(enable_acl=True)

    def slowly(_client: object, access: int, topic: str) -> bool:
        gevent.sleep(0)
        return access == 1 or not topic.startswith("secret/")

    bench.broker.hooks.add("client.check_acl", slowly, blocking=True)
    Rewrite(bench.broker, [parse_rewrite("open/# ^open/(.+)$ secret/$1")]).start()
    client = bench.client("c")
    client.subscribe("secret/#")
    assert client.publish("open/x", b"", qos) == (0x87 if qos else 0)
    client.silent()


def test_rules_below_a_mountpoint_are_asked_about_as_the_client_names_them():
    bench = Bench(enable_acl=True, mountpoint="m/")
    asked: list[str] = []
    Rewrite(bench.broker, [parse_rewrite("m/a/# ^m/a/(.+)$ m/b/$1"), parse_rewrite("m/x ^m/x$ out/x")]).start()
    denying(bench, "b/no", asked)
    client = bench.client("c")
    assert [client.publish(topic, b"", 1) for topic in ("a/no", "a/yes", "x")] == [0x87, 0x10, 0x10]
    assert asked == ["a/no", "b/no", "a/yes", "b/yes", "x", "out/x"]


def test_a_rule_does_not_lead_to_sys():
    bench = Bench()
    Rewrite(bench.broker, [parse_rewrite("a/# ^a/(.+)$ $SYS/$1")]).start()
    assert bench.client("c").publish("a/x", b"", 1) == 0x87


def test_subscribing_asks_about_both_names():
    bench = Bench(enable_acl=True)
    denying(bench, "secret/#")
    Rewrite(bench.broker, [parse_rewrite("open/# ^open/(.+)$ secret/$1"), parse_rewrite("a/# ^a/(.+)$ b/$1")]).start()
    client = bench.client("c")
    assert client.subscribe("open/x", "$share/g/open/x", "a/x", "secret/x", qos=1) == [0x87, 0x87, 1, 0x87]
    assert [row[0] for row in bench.broker.router.subscriptions(bench.broker.sessions["c"])] == ["b/x"]


def renaming(bench: Bench, renames: Renames | None = None) -> None:
    def to_secret(message: Message) -> Message:
        return Message.create(message.topic.replace("open/", "secret/"), message.payload, message.qos)

    bench.broker.hooks.add("message.publish", to_secret, renames=renames)


@pytest.mark.parametrize("renames", [None, Renames(lambda topic: topic.replace("open/", "secret/"))])
def test_a_handler_that_renames(renames: Renames | None):
    """Whether it says so in advance or not."""
    bench = Bench(enable_acl=True)
    denying(bench, "secret/no")
    renaming(bench, renames)
    client = bench.client("c")
    assert [client.publish(f"open/{name}", b"", 1) for name in ("no", "yes")] == [0x87, 0x10]


def test_a_handler_that_does_not_say_so_is_refused_where_the_acl_takes_its_time():
    bench = Bench(enable_acl=True)
    bench.broker.hooks.add("client.check_acl", lambda *_: gevent.sleep(0) or True, blocking=True)
    renaming(bench)
    client = bench.client("c")
    assert [client.publish(topic, b"", 1) for topic in ("open/x", "other")] == [0x87, 0x10]


def test_a_handler_refuses_with_a_reason():
    """0x97 for QoS 1 and 2; a packet id of a refused QoS 2 message is free again [MQTT-4.3.3-9]."""
    bench = Bench()
    bench.broker.hooks.add("message.publish", lambda _message: PacketRefused(0x97, "enough"), prefix="full/")
    client = bench.client("c")
    assert [client.publish("full/x", b"", qos) for qos in (0, 1, 2, 2)] == [0, 0x97, 0x97, 0x97]
    assert bench.broker.sessions["c"].awaiting_rel_len == 0
    assert bench.client("old", 4).publish("full/x", b"", 1) == 0
    with pytest.raises(PacketRefused):
        bench.broker.publish("full/x", b"")


# -- wills, when they are sent ------------------------------------------------------------------------


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("delay", [0, 10])
def test_a_will_is_asked_about_again_when_it_is_sent(blocking: bool, delay: int):
    """Rules may have changed since CONNECT."""
    bench = Bench(enable_acl=True)
    asked: list[tuple[str, str | None, str]] = []
    refused: set[str] = set()

    def check(client: Any, _access: int, topic: str) -> bool:
        if blocking:
            gevent.sleep(0)
        asked.append((topic, client.username, client.peer[0]))
        return topic not in refused

    bench.broker.hooks.add("client.check_acl", check, blocking=blocking)
    seen = bench.client("watcher")
    seen.subscribe("will/#")
    will = {"will_props": {"will_delay": delay}, "session_expiry": 100, "username": "joe"}
    gone = [bench.client(name, will=(f"will/{name}", b"", 0, False), **will) for name in ("yes", "no")]
    refused.add("will/no")
    asked.clear()
    for client in gone:
        bench.gone(client)
    bench.later(delay + 1)
    assert seen.message().topic == "will/yes"
    seen.silent()
    assert sorted(asked) == [("will/no", "joe", "127.0.0.1"), ("will/yes", "joe", "127.0.0.1")]


def test_a_will_below_a_mountpoint_is_asked_about_as_the_client_names_it():
    bench = Bench(enable_acl=True, mountpoint="m/%c/")
    asked: list[str] = []
    denying(bench, "never", asked)
    bench.gone(bench.client("c", will=("w", b"", 0, False)))
    assert asked == ["w", "w"]


def test_explain_knows_the_names(start_broker, tmp_path):
    rules = tmp_path / "acl.conf"
    rules.write_text('{deny, all, publish, ["secret/#"]}.\n{allow, all}.\n')
    broker = start_broker(env={
        "EMQX_ACL_FILE": str(rules), "EMQX_MODULE__REWRITE": "on",
        "EMQX_MODULE__REWRITE__RULE__1": "open/# ^open/(.+)$ secret/$1"})
    from tests.clients.paho import Client

    with Client(broker.mqtt_port, "c"):
        for topic, by in (("open/x", "acl_file, line 1"), ("$delayed/5/secret/x", "acl_file, line 1"),
                          ("$SYS/x", "a $ topic that clients do not publish to")):
            body = {"topic": topic, "client_id": "c"}
            answer = broker.api("GET", "explain", params=body).json()
            assert not answer["publisher"]["allowed"], json.dumps(answer)
            assert answer["publisher"]["by"].startswith(by)
