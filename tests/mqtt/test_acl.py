"""The ACL file, `acl_nomatch`, `acl_deny_action` and the cache of verdicts (behaviour, section 11)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from emqx_mgmt.broker.auth.acl_rules import AclRules
from emqx_mgmt.broker.auth.client import Client as Peer
from emqx_mgmt.settings.acl_file import SHIPPED, parse_rules
from tests.broker_process import CHECKOUT, BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.clients.raw import DISCONNECT, Raw


def address(text: str) -> bytes:
    """A socket address as the system lays it out: family, port, and of IPv6 the flow before and the scope behind."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    lead = struct.pack("=H", family) + struct.pack("!H", 1)
    return lead + (bytes(4) if ":" in text else b"") + socket.inet_pton(family, text) + bytes(8)


LOCAL = Peer("c1", "joe", address("127.0.0.1"), "external")
REMOTE = Peer("c1", "joe", address("10.1.2.3"), "external")
NAMELESS = Peer("c2", None, address("::ffff:10.1.2.3"), "external")


def allowed(text: str, peer: Peer, access: str, topic: str) -> bool | None:
    rules = AclRules(parse_rules(text))
    return rules.may_publish(peer, topic) if access == "publish" else rules.may_subscribe(peer, topic)


@pytest.mark.parametrize(
    ("rule", "peer", "access", "topic", "answer"),
    [
        ("{allow, all}.", REMOTE, "publish", "a", True),
        ("{deny, all}.", REMOTE, "subscribe", "#", False),
        ('{deny, all, publish, ["a/+"]}.', REMOTE, "publish", "a/b", False),
        ('{deny, all, publish, ["a/+"]}.', REMOTE, "subscribe", "a/b", None),
        ('{deny, all, publish, ["a/+"]}.', REMOTE, "publish", "a/b/c", None),
        ('{deny, all, pubsub, "a/#"}.', REMOTE, "subscribe", "a/b/#", False),
        ('{deny, all, pubsub, <<"a/#">>}.', REMOTE, "publish", "a", False),
        ('{allow, {user, "joe"}, publish, ["a"]}.', REMOTE, "publish", "a", True),
        ('{allow, {user, "joe"}, publish, ["a"]}.', NAMELESS, "publish", "a", None),
        ('{allow, {user, all}, publish, ["a"]}.', NAMELESS, "publish", "a", True),
        ('{allow, {client, "c2"}, publish, ["a"]}.', NAMELESS, "publish", "a", True),
        ('{allow, {client, "all"}, publish, ["a"]}.', NAMELESS, "publish", "a", None),
        ('{allow, {ipaddr, "10.1.0.0/16"}, publish, ["a"]}.', REMOTE, "publish", "a", True),
        ('{allow, {ipaddr, "10.1.0.0/16"}, publish, ["a"]}.', NAMELESS, "publish", "a", True),
        ('{allow, {ipaddr, "10.1.0.0/16"}, publish, ["a"]}.', LOCAL, "publish", "a", None),
        ('{allow, {ipaddr, "fe80::/10"}, publish, ["a"]}.', LOCAL, "publish", "a", None),
        ("{allow, {'and', [{user, \"joe\"}, {client, \"c1\"}]}, publish, [\"a\"]}.", LOCAL, "publish", "a", True),
        ("{allow, {'and', [{user, \"joe\"}, {client, \"c2\"}]}, publish, [\"a\"]}.", LOCAL, "publish", "a", None),
        ("{allow, {'or', [{user, \"joe\"}, {client, \"c2\"}]}, publish, [\"a\"]}.", NAMELESS, "publish", "a", True),
        ('{deny, all, subscribe, [{eq, "#"}]}.', REMOTE, "subscribe", "#", False),
        ('{deny, all, subscribe, [{eq, "#"}]}.', REMOTE, "subscribe", "a/#", None),
        ('{allow, all, pubsub, ["u/%u/#", "c/%c"]}.', LOCAL, "subscribe", "u/joe/x", True),
        ('{allow, all, pubsub, ["u/%u/#", "c/%c"]}.', LOCAL, "publish", "c/c1", True),
        ('{allow, all, pubsub, ["u/%u/#", "c/%c"]}.', LOCAL, "publish", "c/c2", None),
        ('{allow, all, pubsub, ["u/%u/#", "x%c"]}.', LOCAL, "publish", "xc1", None),
        ('{allow, all, pubsub, ["u/%u/#"]}.', NAMELESS, "publish", "u/%u/x", True),
        ('% a comment\n{allow, all}. % another\n{deny, all}.', LOCAL, "publish", "x", True),
    ],
)  # fmt: skip
def test_rules(rule: str, peer: Peer, access: str, topic: str, answer: bool | None) -> None:
    assert allowed(rule, peer, access, topic) is answer


@pytest.mark.parametrize("name", ["+", "#", "a/b", "+/x"])
def test_a_name_does_not_widen_a_filter(name: str) -> None:
    """A user called + must not get everybody's topics."""
    peer = Peer(name, name, address("10.0.0.1"), "external")
    rule = '{allow, all, pubsub, ["u/%u/#", "c/%c"]}.'
    for topic in ("u/joe/x", "c/c1", "u/a/b", f"u/{name}/#", f"c/{name}"):
        assert allowed(rule, peer, "subscribe", topic) is None


def test_shipped_rules_are_those_of_the_file() -> None:
    assert parse_rules((CHECKOUT / "etc/acl.conf").read_text()) == parse_rules(SHIPPED)
    for topic in ("$SYS/#", "$SYS/brokers", "#"):
        assert allowed(SHIPPED, REMOTE, "subscribe", topic) is False
        assert allowed(SHIPPED, LOCAL, "subscribe", topic) is True
    assert allowed(SHIPPED, REMOTE, "subscribe", "a/#") is True
    assert AclRules(parse_rules(SHIPPED)).lets_all_publish


@pytest.mark.parametrize(
    "text",
    [
        "{allow, all}",
        "{allow}.",
        "allow.",
        "{perhaps, all}.",
        "{allow, some}.",
        '{allow, all, listen, ["a"]}.',
        "{allow, all, publish, [5]}.",
        '{allow, {ipaddr, "10.0.0.0/99"}, publish, ["a"]}.',
        '{allow, {group, "x"}, publish, ["a"]}.',
        '{allow, all, publish, ["a"}.',
        "{" * 100,
        "[" * 5000,
        '"',
        "{allow, all}. x",
    ],
)
def test_mistakes_are_told_with_their_line(text: str) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        parse_rules(text)


def write(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "acl.conf"
    path.write_text(text)
    return {"EMQX_ACL_FILE": str(path)}


def test_start_with_a_bad_file(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker(env=write(tmp_path, "{allow, all}.\n\n{deny all}.\n"), ready=False)
    assert broker.wait() == 78
    assert "EMQX_ACL_FILE" in broker.stderr
    assert "line 3" in broker.stderr
    assert "Traceback" not in broker.stderr, broker.stderr


RULES = """
{deny, {client, "muted"}, publish, ["#"]}.
{deny, all, pubsub, ["secret/#"]}.
{allow, {user, "dashboard"}, subscribe, ["$SYS/#"]}.
{deny, all, subscribe, ["$SYS/#", {eq, "#"}]}.
{allow, all}.
"""


def test_in_the_broker(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    broker = start_broker(env=write(tmp_path, RULES))
    client, muted = Client(broker.mqtt_port, "c"), Client(broker.mqtt_port, "muted")
    client.subscribe("t/#")
    assert suback(client, "secret/x") == suback(client, "#") == suback(client, "$share/g/#") == [0x80]
    assert suback(client, "a") == [0]
    for topic in ("t/muted", "t/more"):
        muted.paho.publish(topic, "x", 1).wait_for_publish(5)
    client.paho.publish("secret/t", "x", 1).wait_for_publish(5)
    client.paho.publish("t/heard", "x", 1).wait_for_publish(5)
    wait_until(lambda: client.received)
    assert [topic for topic, *_ in client.received] == ["t/heard"]
    assert {row["topic"] for row in broker.api("GET", "subscriptions/c").json()} == {"t/#", "a"}
    for one in (client, muted):
        one.close()


def suback(client: Client, topic: str) -> list[int]:
    answers: list[list[int]] = []
    client.paho.on_subscribe = lambda _c, _u, _m, codes, _p: answers.append([code.value for code in codes])
    client.paho.subscribe(topic)
    wait_until(lambda: answers, what="the SUBACK")
    return answers[0]


def test_changed_rules_wait_for_the_cache(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    """A new file is read when its setting is changed; what a client has cached stays until it is cleaned."""
    broker = start_broker(env=write(tmp_path, '{deny, all, pubsub, ["t/#"]}.\n{allow, all}.'))
    client = Client(broker.mqtt_port, "a/b")
    assert suback(client, "t/1") == [0x80]
    other = tmp_path / "other.conf"
    other.write_text("{allow, all}.")
    body = {"key": "mqtt.acl_file", "value": str(other)}
    assert broker.api("PUT", "configs/emqx", json=body).text == '"ok"'
    assert suback(client, "t/1") == [0x80]
    assert suback(client, "t/2") == [0]
    path = f"connections/{quote('a/b', safe='')}/acl/{quote('t/1', safe='')}"
    assert broker.api("DELETE", path).text == '"ok"'
    assert suback(client, "t/1") == [0]
    assert broker.api("DELETE", f"connections/{quote('a/b', safe='')}/acl/unknown").text == '"ok"'
    bad = broker.api("PUT", "configs/emqx", json=body | {"value": str(tmp_path / "nothing")})
    assert bad.status_code == 422
    client.close()


def test_no_rule_matches(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    rules = write(tmp_path, '{allow, all, pubsub, ["open/#"]}.')
    broker = start_broker(env=rules | {"EMQX_ACL_NOMATCH": "deny"})
    client = Client(broker.mqtt_port, "c")
    assert suback(client, "open/x") == [0]
    assert suback(client, "other") == [0x80]
    client.paho.publish("other", "x", 1).wait_for_publish(5)
    body = {"key": "mqtt.acl_nomatch", "value": "allow"}
    assert broker.api("PUT", "configs/emqx", json=body).text == '"ok"'
    assert suback(client, "another") == [0]
    client.close()


def test_deny_action_disconnect(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    rules = write(tmp_path, '{deny, all, publish, ["no"]}.\n{allow, all}.')
    broker = start_broker(
        env=rules | {"EMQX_ACL_DENY_ACTION": "disconnect", "EMQX_ZONE__EXTERNAL__ACL_DENY_ACTION": "disconnect"}
    )
    client = Client(broker.mqtt_port, "c")
    gone: list[int] = []
    client.paho.on_disconnect = lambda *_: (gone.append(1), client.paho.loop_stop())
    client.paho.publish("no", "x", 0)
    wait_until(lambda: gone, what="the disconnect")
    client.close()


def test_deny_action_disconnect_after_a_subscribe(tmp_path: Path, start_broker: Callable[..., BrokerProcess]) -> None:
    """Behaviour, 11.2: the connection is closed after the answer, a stored session's too, whose SUBACK waits."""
    rules = write(tmp_path, '{deny, all, subscribe, ["no"]}.\n{allow, all}.')
    broker = start_broker(env=rules | {"EMQX_ACL_DENY_ACTION": "disconnect"})
    for expiry in (0, 60):
        client = Raw(socket.create_connection(("127.0.0.1", broker.mqtt_port))).connect("c", session_expiry=expiry)
        assert client.subscribe(("yes", 1), ("no", 1)) == [1, 0x87]
        client.expect(DISCONNECT, code=0x87)
        client.closed()
