"""The two styles of every endpoint: the document's bare values, and the releases' envelope (behaviour, section 3).

What moves between two requests (clocks, loads, counters) is left out of the comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.reference import INDEX
from tests.broker_process import BrokerProcess
from tests.clients.paho import Client

NODE = "emqx@127.0.0.1"
MOVING = {
    "datetime",
    "uptime",
    "load1",
    "load5",
    "load15",
    "memory_used",
    "current_conns",
    "reductions",
    "mailbox_len",
    "process_used",
}
WORDS = {
    ":node": NODE,
    ":clientid": "styled",
    ":topic": "t",
    ":app": "emqx",
    ":appid": "tester",
    ":plugin": "emqx_retainer",
}
READS = sorted({entry["path"] for entry in INDEX if entry["method"] == "GET"})

ACTIONS = [
    ("DELETE", "banned/nobody?as=client_id", None),
    ("PUT", "configs/emqx", {"key": "mqtt.allow_anonymous", "value": "true"}),
    ("PUT", f"nodes/{NODE}/configs/emqx", {"key": "mqtt.allow_anonymous", "value": "true"}),
    ("PUT", "users/admin", {"tags": "administrator"}),
    ("PUT", "change_pwd/admin", {"old_pwd": "public", "new_pwd": "public"}),
    ("POST", "auth", {"username": "admin", "password": "public"}),
    ("PUT", "apps/tester", {"name": "tester", "desc": "Application user"}),
    ("DELETE", "apps/nobody", None),
    ("DELETE", "connections/styled/acl/t", None),
]
CODES = [
    ("mqtt/publish", {"topic": "t"}),
    ("mqtt/subscribe", {"topic": "u", "client_id": "styled"}),
    ("mqtt/unsubscribe", {"topic": "u", "client_id": "styled"}),
]
REFUSED = [
    ("DELETE", "connections/nobody", None, "not_found", 112),
    ("DELETE", "connections/nobody/acl/t", None, "not_found", 112),
    ("POST", "apps", {"app_id": "tester", "name": "x"}, "alread_existed", 102),
    ("PUT", "apps/nobody", {"name": "x"}, "ont_found", 102),
    ("PUT", "users/nobody", {"tags": "x"}, "username_not_found", 105),
    ("DELETE", "users/nobody", None, "Username Not Found", 105),
    ("DELETE", "users/admin", None, "Cannot delete admin", 106),
    ("POST", "users", {"username": "admin", "password": "x"}, "username already exist", 113),
    ("POST", "users", {"username": "x", "password": ""}, "Username or password undefined", 104),
    ("POST", "auth", {"username": "", "password": "x"}, "Username undefined", 104),
    ("POST", "auth", {"username": "admin", "password": ""}, "Password undefined", 104),
    ("POST", "auth", {"username": "nobody", "password": "x"}, "Username Not Found", 105),
    ("POST", "auth", {"username": "admin", "password": "x"}, "Password Error", 103),
    ("PUT", "change_pwd/admin", {"old_pwd": "x", "new_pwd": "y"}, "Password Error", 114),
    ("DELETE", "scram_users/nobody", None, "Username Not Found", 105),
    ("PUT", f"nodes/{NODE}/plugins/emqx_retainer/load", None, "already_started", 110),
    ("PUT", f"nodes/{NODE}/plugins/emqx_auth_username/unload", None, "not_started", 111),
    ("PUT", "configs/emqx", {"key": "nothing", "value": "x"}, "not_found", 102),
]


def still(value: Any) -> Any:
    """The value without what moves."""
    if isinstance(value, dict):
        return {key: still(member) for key, member in value.items() if key not in MOVING and "/" not in str(key)}
    return [still(member) for member in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", READS)
def test_reads(broker: BrokerProcess, connect: Callable[..., Client], path: str) -> None:
    connect("styled").subscribe("t")
    path = "/".join(WORDS.get(part, part) for part in path.split("/"))
    bare, envelope = (broker.api("GET", path, headers={"X-API-Style": style}) for style in ("bare", "envelope"))
    assert bare.status_code == envelope.status_code == 200
    wrapped = envelope.json()
    assert list(wrapped) == (["code", "data", "meta"] if "meta" in wrapped else ["code", "data"])
    assert wrapped["code"] == 0
    assert type(wrapped["code"]) is int
    value = bare.json()
    if "meta" in wrapped:
        assert list(value) == ["items", "meta"]
        assert value["meta"] == wrapped["meta"]
        value = value["items"]
    assert still(value) == still(wrapped["data"])


@pytest.mark.parametrize(("method", "path", "body"), ACTIONS)
def test_actions(broker: BrokerProcess, connect: Callable[..., Client], method: str, path: str, body: Any) -> None:
    connect("styled")
    bare = broker.api(method, path, json=body)
    assert (bare.status_code, bare.text) == (200, '"ok"')
    envelope = broker.api(method, path, json=body, headers={"X-API-Style": "envelope"})
    assert (envelope.status_code, envelope.text) == (200, '{"code":0}')


@pytest.mark.parametrize(("path", "body"), CODES)
def test_codes(broker: BrokerProcess, connect: Callable[..., Client], path: str, body: Any) -> None:
    connect("styled")
    for style in ("bare", "envelope"):
        answer = broker.api("POST", f"{path}?_style={style}", json=body)
        assert (answer.status_code, answer.text) == (200, '{"code":0}')


@pytest.mark.parametrize(("method", "path", "body", "message", "code"), REFUSED)
def test_refusals(broker: BrokerProcess, method: str, path: str, body: Any, message: str, code: int) -> None:
    bare = broker.api(method, path, json=body)
    assert (bare.status_code, bare.json()) == (500, {"message": message})
    envelope = broker.api(method, path, json=body, headers={"X-API-Style": "envelope"})
    assert (envelope.status_code, envelope.json()) == (200, {"code": code, "message": message})


def test_texts_of_401_and_404_have_no_style(broker: BrokerProcess) -> None:
    headers = {"X-API-Style": "envelope"}
    assert broker.api("GET", "nothing", headers=headers).text == "Not found."
    assert broker.api("GET", "nodes/nobody@nowhere", headers=headers).text == "Not found."
    assert broker.api("GET", "brokers", headers=headers, auth=None).text == "UNAUTHORIZED"


def test_style_of_each_listener(start_broker: Any) -> None:
    broker = start_broker(env={"EMQX_DASHBOARD__STYLE": "envelope", "EMQX_DASHBOARD__NAMES": "dots"})
    assert isinstance(broker.api("GET", "brokers").json(), list)
    dashboard = {"auth": ("admin", "public"), "port": broker.dash_port}
    assert broker.api("GET", "brokers", **dashboard).json()["code"] == 0
    metrics = broker.api("GET", "metrics", **dashboard).json()["data"][0]["metrics"]
    assert "packets.connect.received" in metrics
    assert isinstance(broker.api("GET", "brokers?_style=bare", **dashboard).json(), list)


def test_selectors_do_not_reach_the_handlers(broker: BrokerProcess) -> None:
    answer = broker.api("POST", "banned?_style=bare&_names=dots", json={"who": "x", "as": "client_id"})
    assert answer.json() == {"who": "x", "as": "client_id"}
    broker.api("DELETE", "banned/x?as=client_id")


def test_style_by_the_user_agent(start_broker: Any) -> None:
    """For exporters, which have no setting for headers. What the request or the application says is stronger."""
    broker = start_broker(env={"EMQX_MANAGEMENT__ENVELOPE_AGENTS": "Go-http-client, emq_exporter/"})

    def is_enveloped(agent: str, path: str = "brokers", **kw: Any) -> bool:
        headers = {"User-Agent": agent} | kw.pop("headers", {})
        return isinstance(broker.api("GET", path, headers=headers, **kw).json(), dict)

    assert is_enveloped("Go-http-client/1.1")
    assert is_enveloped("EMQ_exporter/0.6")
    assert not is_enveloped("python-requests/2.31")
    assert not is_enveloped("curl/8 (like Go-http-client/1.1)")
    assert not is_enveloped("")
    assert not is_enveloped("Go-http-client/1.1", "brokers?_style=bare")
    assert not is_enveloped("Go-http-client/1.1", headers={"X-API-Style": "bare"})
    assert not is_enveloped("Go-http-client/1.1", auth=("admin", "public"), port=broker.dash_port)
    made = broker.api("POST", "apps", json={"app_id": "b", "name": "b", "style": "bare"}).json()
    assert not is_enveloped("Go-http-client/1.1", auth=("b", made["secret"]))
    assert "User-Agent" in broker.api("GET", "brokers").headers["Vary"]


def test_the_start_log_says_how_each_port_answers(start_broker: Any) -> None:
    broker = start_broker(env={"EMQX_DASHBOARD__STYLE": "envelope", "EMQX_DASHBOARD__NAMES": "dots"})
    (line,) = [line for line in broker.stderr.splitlines() if "The API answers" in line]
    assert f"management on 127.0.0.1:{broker.api_port} bare with slashes" in line
    assert f"dashboard on 127.0.0.1:{broker.dash_port} envelope with dots" in line
