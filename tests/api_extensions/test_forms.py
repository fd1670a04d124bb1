"""What a form needs to know of a setting, and deleting what filters choose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client

NODE = "nodes/emqx@127.0.0.1"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    place = tmp_path_factory.mktemp("broker")
    (place / "emqx.conf").write_text("mqtt.max_packet_size = 2MB\nzone.external.max_inflight = 7\n"
                                     "dashboard.default_user.password = as-chosen\n")
    broker = BrokerProcess(place, {
        "EMQX_CONFIG": str(place / "emqx.conf"), "EMQX_ACL_NOMATCH": "deny", "EMQX_RETAINER__MAX_PAYLOAD_SIZE": "3MB",
    }).start()
    yield broker
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def configs(broker: BrokerProcess) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in broker.api("GET", f"{NODE}/configs?_fields=extended").json()}


def plugin(broker: BrokerProcess, name: str) -> dict[str, dict[str, Any]]:
    rows = broker.api("GET", f"{NODE}/plugin_configs/{name}?_fields=extended").json()
    return {row["key"]: row for row in rows}


def said(row: dict[str, Any], *members: str) -> tuple[Any, ...]:
    return tuple(row[member] for member in members)


def test_settings_of_the_broker(broker: BrokerProcess) -> None:
    rows = configs(broker)
    row = rows["mqtt.max_packet_size"]
    assert said(row, "value", "kind", "unit", "low", "default", "hot", "source", "setting") == (
        "2097152", "bytesize", "bytes", 0, "1048576", True, "file", "mqtt.max_packet_size")
    assert said(rows["mqtt.acl_nomatch"], "value", "kind", "choices", "default", "source", "setting") == (
        "deny", "enum", ["allow", "deny"], "allow", "environment", "acl_nomatch")
    assert said(rows["mqtt.session.max_inflight"], "value", "low", "high", "default", "setting") == (
        "7", 0, 65535, "32", "zone.external.max_inflight")
    assert said(rows["zone.internal.max_inflight"], "value", "hot", "source") == ("32", False, "default")
    assert said(rows["monitor.cpu_high_watermark"], "value", "kind", "unit", "high") == ("80%", "percent", "%", 100)
    assert said(rows["listener.ws.external"], "value", "kind", "hot") == ("off", "ip", False)
    secret = rows["dashboard.default_user.password"]
    assert said(secret, "value", "kind", "default", "secret") == ("******", "secret", "", True)
    assert rows["broker.sys_interval"]["desc"].startswith("How often the $SYS topics")
    assert said(rows["retainer.max_payload_size"], "app", "value", "source") == (
        "emqx_retainer", "3145728", "environment")
    documented = broker.api("GET", f"{NODE}/configs").json()
    assert {row["key"] for row in documented} == {row["key"] for row in rows.values() if row["hot"]}
    assert set(documented[0]) == {"key", "value", "datatpye", "app"}


def test_a_change_is_stored_and_taken_back(broker: BrokerProcess) -> None:
    for key, app, before in (("mqtt.acl_nomatch", "emqx", "environment"),
                             ("retainer.max_retained_messages", "emqx_retainer", "default")):
        value = {"mqtt.acl_nomatch": "allow"}.get(key, "9")
        assert broker.api("PUT", f"configs/{app}", json={"key": key, "value": value}).json() == "ok"
        assert said(configs(broker)[key], "value", "source") == (value, "stored")
        assert broker.api("DELETE", f"configs/{app}", json={"key": key}).json() == "ok"
        assert configs(broker)[key]["source"] == before


def test_settings_of_plugins(broker: BrokerProcess) -> None:
    """Of one that does not run too; a key that stands for many is written with `$n`."""
    rows = plugin(broker, "emqx_retainer")
    assert said(rows["retainer.max_payload_size"], "value", "shown", "kind", "source", "hot") == (
        "3MB", "3145728", "bytesize", "environment", True)
    assert said(rows["retainer.storage_type"], "choices", "hot") == (["ram", "disc", "disc_only"], False)
    assert said(rows["retainer.expiry_interval"], "kind", "unit", "shown") == ("duration", "ms", "0")
    rows = plugin(broker, "emqx_auth_username")
    assert said(rows["auth.user.$n.password"], "value", "shown", "kind", "required") == ("", "", "secret", False)
    names = {row["name"] for row in broker.api("GET", f"{NODE}/plugins").json()}
    for name in names:
        assert set(plugin(broker, name)) == {
            row["key"] for row in broker.api("GET", f"{NODE}/plugin_configs/{name}").json()}


def test_sessions_that_filters_choose_are_deleted(broker: BrokerProcess) -> None:
    for client_id, user in (("gone1", "joe"), ("gone2", "joe"), ("gone3", "ann"), ("here", "joe")):
        client = Client(broker.mqtt_port, client_id, clean=False, username=user)
        if client_id != "here":
            client.close()
    wait_until(lambda: len(broker.api("GET", "connections").json()["items"]) == 1, what="three to be gone")
    assert broker.api("DELETE", "sessions/persistent").status_code == 422
    assert broker.api("DELETE", "sessions/persistent?_limit=1").status_code == 422
    deleted = broker.api("DELETE", "sessions/persistent?username=joe&connected=false").json()
    assert deleted == [{"client_id": "gone1", "code": 0}, {"client_id": "gone2", "code": 0}]
    assert {row["client_id"] for row in broker.api("GET", "sessions").json()["items"]} == {"gone3", "here"}
    assert broker.api("DELETE", "sessions/persistent", json={"client_id": ["gone3", "here", "none"]}).json() == [
        {"client_id": "gone3", "code": 0}]
    answer = broker.api("DELETE", "sessions/persistent?username=joe&_style=envelope").json()
    assert answer == {"code": 0, "data": []}
    row = broker.api("GET", "audit?action=clean_sessions&_sort=at").json()["items"][0]
    assert "username" in row["params"] or "client_id" in row["params"]


def test_bans_that_filters_choose_are_deleted(broker: BrokerProcess) -> None:
    for kind, who in (("client_id", "b1"), ("client_id", "b2"), ("username", "b1"), ("ip_address", "192.0.2.1")):
        broker.api("POST", "banned", json={"as": kind, "who": who})
    assert broker.api("DELETE", "banned").status_code == 422
    assert broker.api("DELETE", "banned?as=client_id&_like_who=b").json() == [
        {"as": "client_id", "who": "b1", "code": 0}, {"as": "client_id", "who": "b2", "code": 0}]
    left = broker.api("GET", "banned?_sort=who").json()["items"]
    assert [(row["as"], row["who"]) for row in left] == [("ip_address", "192.0.2.1"), ("username", "b1")]
