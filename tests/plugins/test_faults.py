"""Plugins that misbehave on purpose: they are told, counted and denied, and nobody else notices."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import paho.mqtt.client as paho
import pytest
import requests

from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, active, load, unload, wait_until_given_back

REFUSED = 0x87  # not authorised, as paho names CONNACK code 5
UNAVAILABLE = 0x88  # server unavailable, CONNACK code 3
ROUNDS = int(os.environ.get("PLUGIN_ROUNDS", "20"))  # `make test-plugins` does a hundred
QUICK = {"EMQX_PLUGINS__HOOK_DEADLINE": "500ms", "EMQX_PLUGINS__PROCESSOR_LIMIT": "500ms"}


def faults(broker: BrokerProcess, plugin: str = "rogue_auth") -> dict[str, int]:
    found: dict[str, int] = broker.api("GET", "recon/node_stats").json()["plugin_faults"][plugin]
    return found


def connack(broker: BrokerProcess, username: str) -> int | None:
    with Client(broker.mqtt_port, username=username, password="x") as client:
        return client.code


@pytest.mark.parametrize("blocking", ["on", "off"])
@pytest.mark.parametrize(("how", "counted"), [("raise", "raised"), ("exit", "raised"), ("burn", "burned")])
def test_a_guard_that_fails_denies(start_with_plugins, how: str, counted: str, blocking: str):
    broker = start_with_plugins(QUICK | {"EMQX_ROGUE__BLOCKING": blocking})
    load(broker, "rogue_auth")
    assert connack(broker, "fine") == 0
    assert connack(broker, how) == UNAVAILABLE
    assert faults(broker)[counted] >= 1
    assert "plugin rogue_auth: client.authenticate" in broker.stderr
    with Client(broker.mqtt_port, username="fine") as client:
        assert client.subscribe(f"a/{how}") == 0x80
        assert client.subscribe("a/fine") == 0
        client.publish(f"a/{how}")
        client.publish("a/fine", b"1")
        assert client.receive().payload == b"1"
    assert broker.stop() == 0


def test_a_guard_that_waits_is_cut_at_its_deadline(start_with_plugins):
    broker = start_with_plugins(QUICK)
    load(broker, "rogue_auth")
    began = time.monotonic()
    assert connack(broker, "wait") == UNAVAILABLE
    assert time.monotonic() - began > 0.4
    assert faults(broker)["late"] == 1
    assert connack(broker, "slow-no") == REFUSED
    assert faults(broker) == {"raised": 0, "late": 1, "burned": 0, "dropped": 0}


def test_services_that_misbehave_are_cut_and_named(start_with_plugins):
    """A route, a timer, a TCP and a UDP listener: each is ended, the plugin's others and all else go on."""
    broker = start_with_plugins(QUICK | {"EMQX_ROGUE__TIMER": "2s"})
    load(broker, "rogue_service")
    tcp, udp = broker.api("GET", "rogue").json()
    for how, reason in (("burn", "held the processor and was interrupted"), ("raise", "failed"), ("exit", "failed")):
        answer = broker.api("PUT", f"rogue/{how}", timeout=30)
        assert (answer.status_code, answer.json()) == (
            500, {"message": f"plugin rogue_service: PUT /rogue/:what {reason}"})
        with socket.create_connection(("127.0.0.1", tcp), 30) as sock:
            sock.sendall(how.encode())
            assert sock.recv(1) == b""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(30)
            sock.sendto(how.encode(), ("127.0.0.1", udp))
            sock.sendto(b"fine", ("127.0.0.1", udp))
            assert sock.recv(10) == b"fine"
    wait_until(lambda: all(f"plugin rogue_service: {what} held the processor" in broker.stderr
                           for what in ("burn", "rogue connection", "datagram")), 20)
    found = faults(broker, "rogue_service")
    assert (found["raised"], found["burned"] >= 4) == (6, True)
    assert connack(broker, "anybody") == 0
    unload(broker, "rogue_service")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", tcp), 10)


def test_an_answer_that_is_none_is_no(start_with_plugins):
    """A text that is not empty counts as true in Python: as a verdict it lets nobody in."""
    broker = start_with_plugins()
    load(broker, "rogue_answers")
    with Client(broker.mqtt_port, version=paho.MQTTv5) as client:
        for topic in ("answers/acl", "answers/none", "answers/word", "answers/huge"):
            assert client.subscribe(topic) >= 0x80, topic
        assert client.subscribe("answers/+") == 0
        client.publish("answers/acl", b"denied", qos=1)
        client.publish("answers/x", b"stopped", qos=1)
        client.publish("answers/y", b"1", qos=1)
        assert client.receive().payload == b"1"
    assert "plugin rogue_answers: client.check_acl answered with str, which is no answer" in broker.stderr
    assert faults(broker, "rogue_answers")["raised"] == 6


def test_a_plugin_gets_nothing_after_its_end(start_with_plugins):
    """A request that it still answers while it is unloaded: nobody would take back what that takes."""
    broker = start_with_plugins()
    load(broker, "rogue_service")
    with ThreadPoolExecutor() as pool:
        url = f"{broker.base_url}/api/v3/rogue/late"
        answer = pool.submit(requests.post, url, auth=APP, timeout=30)
        wait_until(lambda: "a late request has begun" in broker.stderr)
        unload(broker, "rogue_service")
        assert answer.result().json() == {"message": "plugin rogue_service: POST /rogue/:what failed"}
    assert "plugin rogue_service is not loaded any more" in broker.stderr
    assert not [row for row in broker.api("GET", f"{NODE}/listeners").json() if row["protocol"] in ("late", "rogue")]


def test_a_result_that_is_no_json_is_the_plugins_fault(start_with_plugins):
    broker = start_with_plugins()
    load(broker, "rogue_service")
    answer = broker.api("POST", "rogue/object")
    assert (answer.status_code, answer.json()) == (500, {"message": "plugin rogue_service: POST /rogue/:what failed"})
    assert faults(broker, "rogue_service")["raised"] == 1


def test_a_transaction_left_open_takes_nobody_elses_changes_along(start_with_plugins):
    broker = start_with_plugins()
    load(broker, "rogue_service")
    assert broker.api("POST", "rogue/begin").status_code == 500
    assert broker.api("POST", "users", json={"username": "kept", "password": "x"}).json() == "ok"
    broker.kill9()
    broker.start()
    assert "kept" in [user["username"] for user in broker.api("GET", "users").json()]


def test_threads_that_one_plugin_parks_are_missed_by_no_other(start_with_plugins):
    broker = start_with_plugins({"EMQX_AUTH__USER__PASSWORD_HASH": "pbkdf2"})
    load(broker, "rogue_service")
    load(broker, "emqx_auth_username")
    assert broker.api("POST", "rogue/park").json() == [False] * 8
    assert broker.api("POST", "auth_username", json={"username": "joe", "password": "x"}).json() == "ok"
    assert connack(broker, "joe") == 0
    unload(broker, "rogue_service")
    assert broker.stop() == 0


def test_a_guard_that_must_not_wait_is_told_how_it_may(start_with_plugins):
    broker = start_with_plugins(QUICK | {"EMQX_ROGUE__BLOCKING": "off"})
    load(broker, "rogue_auth")
    assert connack(broker, "wait") == UNAVAILABLE
    assert "add it with blocking=True" in broker.stderr


def test_an_event_or_a_message_that_burns_costs_nobody_else(start_with_plugins):
    broker = start_with_plugins(QUICK)
    load(broker, "rogue_auth")
    with Client(broker.mqtt_port, username="fine") as other:
        other.subscribe("#")
        for how in ("raise", "exit", "burn"):
            with Client(broker.mqtt_port, username=f"later-{how}") as client:
                assert client.code == 0
                client.publish(f"rogue/{how}", b"stopped")
                client.publish("rogue/fine", b"passed")
        assert [other.receive().payload for _ in range(3)] == [b"passed"] * 3
    found = faults(broker)
    assert found["raised"] == 4
    assert found["burned"] >= 2


@pytest.mark.parametrize(("how", "reason"), [
    ("raise", "on purpose"), ("exit", "3"), ("burn", "it held the processor and was interrupted"),
    ("wait", "it took longer than 10 s"), ("number", "1 is no Route"),
    ("method", "FETCH /x is not a method and a path such as GET /greetings/:client"),
    ("path", "GET /a b is not a method and a path such as GET /greetings/:client"),
    ("handler", "GET /x needs a name, a description and a function"),
    ("taken", "GET recon//memory/ is a route of the plugin emqx_recon"),
])
def test_a_failed_load_leaves_everything_as_it_was(start_with_plugins, how: str, reason: str):
    broker = start_with_plugins({"EMQX_PLUGINS__PROCESSOR_LIMIT": "200ms", "EMQX_ROGUE__LOAD__HOW": how})
    listeners = broker.api("GET", f"{NODE}/listeners").json()
    running = active(broker)
    answer = broker.api("PUT", f"{NODE}/plugins/rogue_load/load", timeout=40)
    assert (answer.status_code, answer.json()) == (500, {"message": reason})
    assert active(broker) == running
    assert broker.api("GET", f"{NODE}/listeners").json() == listeners
    assert connack(broker, "anybody") == 0  # its hook would have said no
    broker.kill9()
    broker.start()
    assert active(broker) == running


@pytest.mark.timeout(60 + 2 * ROUNDS)
def test_everything_is_usable_and_given_back(start_with_plugins):
    """Loads, unloads and reloads of each plugin leave no hook, greenlet, socket, route, instance or memory behind.
    (emqx_management cannot be unloaded: test_rest.py.)"""
    broker = start_with_plugins({"EMQX_MANAGEMENT__AUDIT_RECORDS": "0"})
    load(broker, "test_gauge")
    load(broker, "test_everything")
    use(broker)
    unload(broker, "test_everything")
    rows = broker.api("GET", f"{NODE}/plugins").json()
    elsewhere = [f"emqx_auth_{word}" for word in ("mysql", "pgsql", "redis", "mongo", "ldap", "http")]  # with servers
    not_these = ("test_gauge", "emqx_management", "rogue_load", "undeclared_guard", *elsewhere)
    names = [row["name"] for row in rows if row["name"] not in not_these]
    running = active(broker)

    # One connection for all: another that is about to be closed would count, and a library takes longer for a request
    # than the broker does.
    connection = http.client.HTTPConnection("127.0.0.1", broker.api_port, timeout=30)
    credentials = {"Authorization": "Basic " + b64encode(":".join(APP).encode()).decode()}

    def ask(path: str, method: str = "GET") -> Any:
        connection.request(method, f"/api/v3/{path}", headers=credentials)
        return json.loads(connection.getresponse().read())

    def left() -> Counter[str]:
        worker = broker.worker
        return Counter(ask("gauge"), files=worker.num_fds(), threads=worker.num_threads(), routes=len(ask("")),
                       listeners=len(ask(f"{NODE}/listeners")))

    def tell(name: str, what: str) -> None:
        assert ask(f"{NODE}/plugins/{name}/{what}", "PUT") == "ok", (name, what)

    def cycle(times: int) -> None:
        for name in names:
            if name not in running:
                tell(name, "load")
            for _ in range(times):
                for what in ("reload", "unload", "load"):
                    tell(name, what)
            if name not in running:
                tell(name, "unload")
        tell("emqx_management", "reload")

    cycle(1)  # what is made once and kept: threads, caches
    before, memory = left(), broker.rss()
    cycle(ROUNDS)
    wait_until_given_back(left, before)
    connection.close()
    assert active(broker) == running
    assert broker.rss() - memory < 8 << 20
    assert connack(broker, "raise") == 0  # no handler of rogue_auth is left


def use(broker: BrokerProcess) -> None:
    state = broker.api("GET", "everything").json()
    assert state["threads"] == 3
    rows = broker.api("GET", f"{NODE}/listeners").json()
    row = next(row for row in rows if row["protocol"] == "everything")
    assert (row["listen_on"], row["max_conns"]) == (f"127.0.0.1:{state['tcp_port']}", 7)
    with socket.create_connection(("127.0.0.1", state["tcp_port"]), 10) as sock:
        sock.sendall(b"tcp")
        assert sock.recv(10) == b"TCP"
        rows = broker.api("GET", f"{NODE}/listeners").json()
        assert next(row for row in rows if row["protocol"] == "everything")["current_conns"] == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(b"udp", ("127.0.0.1", state["udp_port"]))
        assert sock.recv(10) == b"UDP"
    with Client(broker.mqtt_port, client_id="seen") as client:
        wait_until(lambda: "seen" in broker.api("GET", "everything").json()["seen"], 10)
        client.subscribe("echo/#")
        client.publish("everything/x", b"payload")
        assert client.receive().topic == "echo/everything/x"
    assert broker.api("PUT", "everything/a%2Fb", json={"amount": 3}).json() == "ok"
    assert ["a/b", 3] in broker.api("GET", "everything").json()["rows"]
    assert broker.api("PUT", "everything/x", json={"amount": "many"}).status_code == 422
    assert broker.api("DELETE", "everything/x").json() == {"message": "not x"}
    assert broker.api("POST", "everything").status_code == 404
    assert {"everything", "everything_put"} <= {row["name"] for row in broker.api("GET", "").json()}
    assert broker.api("GET", "everything", auth=None).status_code == 401
