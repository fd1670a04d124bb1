"""Whom a message would reach, and who would refuse it: what is said is held against what then happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

ACL = """\
{allow, {client, "reader"}, subscribe, ["plant/#"]}.
{deny, {client, "reader"}, publish, ["plant/#"]}.
{allow, all}.
"""


def test_refusals_name_their_rule(start_broker: Callable[..., BrokerProcess], tmp_path: Path) -> None:
    rules = tmp_path / "acl.conf"
    rules.write_text(ACL)
    broker = start_broker({"EMQX_ACL_FILE": str(rules)})
    reader, writer = Client(broker.mqtt_port, "reader"), Client(broker.mqtt_port, "writer")
    try:
        reader.subscribe("plant/+", 1)
        refused = broker.api("GET", "explain?topic=plant/1&client_id=reader").json()
        assert refused["publisher"]["allowed"] is False
        assert refused["publisher"]["by"] == "acl_file, line 2"
        assert (refused["reaches"], refused["count"]) == ("nobody: the publisher is refused", 0)
        told = broker.api("GET", "explain?topic=plant/1&client_id=writer&qos=2").json()
        assert told["publisher"] == {"client_id": "writer", "allowed": True, "by": "acl_file, line 3", "cached": None}
        assert told["recipients"] == [{
            "client_id": "reader", "filters": ["plant/+"], "group": None, "qos": 1,
            "outcome": "delivered", "reason": "", "allowed": True, "by": "acl_file, line 1"}]
        reader.paho.publish("plant/1", "refused", qos=1).wait_for_publish(10)
        writer.paho.publish("plant/1", "allowed", qos=2).wait_for_publish(10)
        wait_until(lambda: reader.received, 10)
        assert reader.received == [("plant/1", b"allowed", 1, False)]
    finally:
        reader.close()
        writer.close()


def test_groups_offline_and_nobody(broker: BrokerProcess) -> None:
    Client(broker.mqtt_port, "away", clean=False).close()
    broker.api("POST", "mqtt/subscribe", json={"client_id": "away", "topic": "e/#", "qos": 1})
    wait_until(lambda: broker.api("GET", "connections/away").json() == [], 10)
    member = Client(broker.mqtt_port, "member")
    try:
        member.subscribe("$share/g/e/+", 2)
        told = broker.api("GET", "explain?topic=e/1&qos=1").json()
        rows = {row["client_id"]: (row["outcome"], row["group"], row["qos"]) for row in told["recipients"]}
        assert rows == {"away": ("queued", None, 1), "member": ("candidate", "g", 1)}
        assert told["publisher"] is None
        nobody = broker.api("GET", "explain?topic=nobody/here").json()
        assert (nobody["reaches"], nobody["recipients"]) == ("nobody: no subscription matches", [])
    finally:
        member.close()
        Client(broker.mqtt_port, "away", clean=True).close()


def test_a_filter_is_no_topic(broker: BrokerProcess) -> None:
    answer = broker.api("GET", "explain?topic=a/%23")
    assert (answer.status_code, answer.json()["errorCode"]) == (422, 108)
    assert broker.api("GET", "explain").json()["errorCode"] == 107
