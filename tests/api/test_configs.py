"""Hot configuration (behaviour, 5.15 and section 13)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"
ITEM = ["key", "value", "datatpye", "app"]


def values(broker: BrokerProcess) -> dict[str, str]:
    return {row["key"]: row["value"] for row in broker.api("GET", f"nodes/{NODE}/configs/").json()}


def put(broker: BrokerProcess, app: str, key: Any, value: Any, form: str = "") -> Any:
    return broker.api("PUT", f"{form}configs/{app}", json={"key": key, "value": value})


def test_listing(broker: BrokerProcess) -> None:
    [listed] = broker.api("GET", "configs/").json()
    assert list(listed) == ["config", "node"]
    items = broker.api("GET", f"nodes/{NODE}/configs").json()
    assert items == listed["config"]
    assert [list(item) for item in items] == [ITEM] * len(items)
    keys = [item["key"] for item in items]
    assert keys == sorted(keys)
    assert {"mqtt.allow_anonymous", "mqtt.session.max_inflight"} <= set(keys)
    # The document's example, as the shipped settings have it.
    assert [item for item in items if item["app"] == "emqx_retainer"] == [
        {
            "key": "retainer.expiry_interval",
            "value": "0",
            "datatpye": "integer, duration",
            "app": "emqx_retainer",
        },
        {
            "key": "retainer.max_payload_size",
            "value": "1048576",
            "datatpye": "bytesize",
            "app": "emqx_retainer",
        },
        {
            "key": "retainer.max_retained_messages",
            "value": "0",
            "datatpye": "integer",
            "app": "emqx_retainer",
        },
    ]


def code_of_connack(broker: BrokerProcess) -> int | None:
    with Client(broker.mqtt_port, "c") as client:
        return client.code


@pytest.mark.parametrize("form", ["", f"nodes/{NODE}/"])
@pytest.mark.parametrize("key", ["mqtt.allow_anonymous", "allow_anonymous"])
def test_allow_anonymous_takes_effect_at_once(start_broker: Any, form: str, key: str) -> None:
    broker = start_broker()
    assert code_of_connack(broker) == 0
    assert put(broker, "emqx", key, "false", form).text == '"ok"'
    assert code_of_connack(broker) != 0
    assert values(broker)["mqtt.allow_anonymous"] == "false"
    broker.kill9()
    broker.start()
    assert code_of_connack(broker) != 0
    assert "allow_anonymous = false was set over REST and overrides true" in broker.stderr
    assert broker.api("DELETE", f"{form and ''}configs/emqx?key={key}").text == '"ok"'
    assert code_of_connack(broker) == 0


def test_who_is_connected_sees_it_too(start_broker: Any) -> None:
    broker = start_broker()
    client = Client(broker.mqtt_port, "c")
    client.subscribe("t")
    assert put(broker, "emqx", "mqtt.max_packet_size", "1KB").text == '"ok"'
    assert values(broker)["mqtt.max_packet_size"] == "1024"
    gone: list[Any] = []
    client.paho.on_disconnect = lambda *_: (gone.append(1), client.paho.loop_stop())
    client.paho.publish("t", "x" * 2000)
    from tests.broker_process import wait_until

    wait_until(lambda: gone, what="the end of the connection")
    client.close()


def test_retainer_keys_take_effect(start_broker: Any) -> None:
    broker = start_broker()
    assert put(broker, "emqx_retainer", "retainer.max_retained_messages", "1").text == '"ok"'
    assert put(broker, "emqx_retainer", "retainer.max_payload_size", "3").text == '"ok"'
    for topic, payload in (("a", "12"), ("b", "12"), ("a", "1234")):
        broker.api("POST", "mqtt/publish", json={"topic": topic, "payload": payload, "retain": True})
    assert broker.api("GET", f"nodes/{NODE}/stats").json()["retained/count"] == 1
    client = Client(broker.mqtt_port, "c")
    client.subscribe("#")
    from tests.broker_process import wait_until

    wait_until(lambda: client.received)
    assert client.received == [("a", b"12", 0, True)]
    client.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mqtt.allow_anonymous", "perhaps"),
        ("mqtt.acl_nomatch", "ALLOW"),
        ("mqtt.max_packet_size", "1.5MB"),
        ("mqtt.max_packet_size", "99999999999"),
        ("mqtt.mqueue.max_length", "-1"),
        ("mqtt.mqueue.max_length", "9" * 5000),
        ("mqtt.client.idle_timeout", "soon"),
        ("mqtt.client.idle_timeout", "9999999999999w"),
        ("mqtt.client.max_publish_rate", "10"),
        ("mqtt.keepalive_backoff", "0.1"),
        ("mqtt.max_clientid_len", ""),
        ("log.console.level", "loud"),
    ],
)
def test_values_that_do_not_fit_change_nothing(broker: BrokerProcess, key: str, value: str) -> None:
    before = values(broker)
    for form in ("", f"nodes/{NODE}/"):
        answer = put(broker, "emqx", key, value, form)
        assert answer.status_code == 422
        assert "value" in answer.json()["message"]
        envelope = broker.api("PUT", f"{form}configs/emqx?_style=envelope", json={"key": key, "value": value})
        assert envelope.json()["code"] == 108
    assert values(broker) == before


def test_unknown_applications_and_keys(broker: BrokerProcess) -> None:
    answer = put(broker, "nothing", "mqtt.allow_anonymous", "true")
    assert (answer.status_code, answer.text) == (404, "Not found.")
    for key in ("nothing", "node.name", "retainer.max_payload_size", "dashboard.default_user.password"):
        answer = put(broker, "emqx", key, "x")
        assert (answer.status_code, answer.json()) == (500, {"message": "not_found"})
    answer = broker.api("PUT", "configs/emqx?_style=envelope", json={"key": "nothing", "value": "x"})
    assert answer.json() == {"code": 102, "message": "not_found"}


@pytest.mark.parametrize("value", ["0", "1000", "90d", "20s", "100ms"], ids=lambda value: f"retry_interval={value}")
def test_every_shown_value_is_accepted_back(start_broker: Any, value: str) -> None:
    broker = start_broker()
    put(broker, "emqx", "mqtt.session.retry_interval", value)
    put(broker, "emqx", "mqtt.client.max_publish_rate", "10,1m")
    shown = values(broker)
    apps = {row["key"]: row["app"] for row in broker.api("GET", f"nodes/{NODE}/configs").json()}
    for key, text in shown.items():
        assert put(broker, apps[key], key, text).text == '"ok"'
    assert values(broker) == shown
