"""A guard fails closed: while a plugin that decides about clients is to run and does not, its decisions are refused,
and while it is replaced they wait. Nobody gets in because what would have refused him is gone."""

from __future__ import annotations

import shutil
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import paho.mqtt.client as paho
import psutil
import pytest
import requests

from emqx_mgmt.plugins.catalogue import Catalogue
from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, load, unload

REFUSED, UNAVAILABLE = 0x87, 0x88  # CONNACK 5 and 3 of MQTT 3 are shown by paho as these, too
NAME = "emqx_auth_username"
ALARM = f"guard_not_loaded/{NAME}"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_text("joe:right\n")
    return file


@pytest.fixture
def listed(users: Path) -> dict[str, str]:
    """The plugin is on the list from the start."""
    return {"EMQX_LOADED_PLUGINS": NAME, "EMQX_AUTH__USER__IMPORT_FILE": str(users)}


def code(broker: BrokerProcess, username: str | None, password: str | None, version: int = paho.MQTTv311) -> int | None:
    with Client(broker.mqtt_port, username=username, password=password, version=version) as client:
        return client.code


def ready(broker: BrokerProcess) -> tuple[int, str]:
    answer = requests.get(f"{broker.base_url}/health/ready", timeout=10, headers={"Connection": "close"})
    return answer.status_code, answer.text


def alarms(broker: BrokerProcess) -> list[str]:
    return [row["id"] for row in broker.api("GET", "alarms/present").json()[0]["alarms"]]


def shut(broker: BrokerProcess, reason: str, name: str = NAME) -> None:
    """Nobody is let in, with whatever password, and an operator sees why."""
    for version in (paho.MQTTv311, paho.MQTTv5):
        for username, password in (("joe", "right"), ("joe", "wrong"), (None, None)):
            assert code(broker, username, password, version) == UNAVAILABLE
    status, text = ready(broker)
    assert status == 503
    assert name in text
    assert reason in text
    assert f"guard_not_loaded/{name}" in alarms(broker)


def guarded(broker: BrokerProcess) -> None:
    assert [code(broker, "joe", "right"), code(broker, "joe", "wrong")] == [0, REFUSED]
    assert ready(broker) == (200, "ok\n")
    assert not [one for one in alarms(broker) if one.startswith("guard_not_loaded/")]


def new_worker(broker: BrokerProcess, old: int) -> None:
    """Between the end of a worker and the start of the next there may be none."""
    def workers() -> list[int]:
        return [child.pid for child in psutil.Process(broker.running.pid).children()]

    wait_until(lambda: len(workers()) == 1 and workers() != [old] and broker.is_ready(), 60, "one new worker")


def test_a_start_without_its_guard(start_broker, listed, users: Path):
    users.unlink()
    broker = start_broker(listed)
    shut(broker, str(users))
    answer = broker.api("PUT", f"{NODE}/plugins/{NAME}/load")
    assert answer.status_code == 500
    assert str(users) in answer.json()["message"]
    shut(broker, str(users))
    users.write_text("joe:right\n")
    load(broker, NAME)
    guarded(broker)
    history = broker.api("GET", "alarms/history").json()[0]["alarms"]
    assert ALARM in [row["id"] for row in history]


def test_hup_a_crash_and_a_reload_without_its_guard(start_broker, listed, users: Path):
    broker = start_broker(listed)
    guarded(broker)
    users.unlink()
    assert broker.api("PUT", f"{NODE}/plugins/{NAME}/reload").status_code == 500  # nor can the old one start
    shut(broker, str(users))
    users.write_text("joe:right\n")
    assert broker.api("PUT", f"{NODE}/plugins/{NAME}/reload").json() == "ok"
    guarded(broker)
    users.unlink()
    for stop in (lambda: broker.signal(signal.SIGHUP), lambda: broker.worker.kill()):
        old = broker.worker.pid
        stop()
        new_worker(broker, old)
        shut(broker, str(users))
    unload(broker, NAME)  # the operator's decision
    assert code(broker, "joe", "wrong") == 0
    assert ready(broker) == (200, "ok\n")
    assert not [one for one in alarms(broker) if one.startswith("guard_not_loaded/")]


def test_a_guard_that_is_removed_from_disk(start_with_plugins, site: Path):
    broker = start_with_plugins({"EMQX_LOADED_PLUGINS": "slow_guard"})
    assert [code(broker, "joe", "x"), code(broker, "bad", "x")] == [0, REFUSED]
    (site / "guard_plugins.py").unlink()
    shutil.rmtree(site / "__pycache__", ignore_errors=True)
    broker.kill9()
    broker.start()
    shut(broker, "its code cannot be used", "slow_guard")
    shutil.rmtree(site / "rogue-1.0.dist-info")
    broker.kill9()
    broker.start()
    shut(broker, "it is not installed", "slow_guard")
    unload(broker, "slow_guard")
    assert code(broker, "joe", "x") == 0
    broker.kill9()
    broker.start()
    assert ready(broker) == (200, "ok\n")
    assert broker.api("PUT", f"{NODE}/plugins/slow_guard/unload").status_code == 404


def test_a_first_load_that_fails_changes_nothing(start_with_plugins, users: Path):
    users.unlink()
    broker = start_with_plugins({"EMQX_AUTH__USER__IMPORT_FILE": str(users)})
    assert broker.api("PUT", f"{NODE}/plugins/{NAME}/load").status_code == 500
    answer = broker.api("PUT", f"{NODE}/plugins/undeclared_guard/load")
    assert answer.json() == {
        "message": "undeclared_guard takes part in client.authenticate, which its `decides` does not name"}
    assert code(broker, "joe", "wrong") == 0
    assert ready(broker) == (200, "ok\n")
    assert not [one for one in alarms(broker) if one.startswith("guard_not_loaded/")]


@pytest.mark.parametrize("by", ["reload", "settings"])
def test_decisions_wait_while_a_guard_is_replaced(start_with_plugins, tmp_path: Path, by: str):
    """For its connected clients as well: their topics are decided by the new one."""
    gate = tmp_path / "gate"
    gate.touch()
    broker = start_with_plugins({"EMQX_LOADED_PLUGINS": "slow_guard", "EMQX_SLOW__WAIT_FOR": str(gate),
                                 "EMQX_PLUGINS__HOOK_DEADLINE": "20s", "EMQX_ENABLE_ACL_CACHE": "off"})
    with Client(broker.mqtt_port, username="joe") as inside, ThreadPoolExecutor(8) as pool:
        assert inside.subscribe("good/#") == 0
        gate.unlink()
        if by == "reload":
            replaced = pool.submit(broker.api, "PUT", f"{NODE}/plugins/slow_guard/reload", timeout=30)
        else:
            settings = {"slow.wait_for": str(gate), "slow.word": "other"}
            replaced = pool.submit(broker.api, "PUT", f"{NODE}/plugin_configs/slow_guard", json=settings, timeout=30)
        wait_until(lambda: "Plugin unloaded: slow_guard" in broker.stderr)
        asked: list[Future[int | None]] = [pool.submit(code, broker, name, "x") for name in ("bad", "joe")]
        asked += [pool.submit(inside.subscribe, topic) for topic in ("bad/#",)]
        other = threading.Event()
        pool.submit(lambda: inside.publish("good/x", b"1") and other.set())
        assert not other.wait(0.3)
        assert not any(one.done() for one in asked)
        gate.touch()
        assert [one.result(30) for one in asked] == [REFUSED, 0, 0x80]
        assert replaced.result(30).json() == "ok"
        assert inside.receive().payload == b"1"


def test_what_a_guard_answers_after_its_end_does_not_count(start_with_plugins, tmp_path: Path):
    """None would leave it to the next, here to allow_anonymous, and might come of a table that is torn down."""
    gate = tmp_path / "gate"
    broker = start_with_plugins({"EMQX_SLOW__LATE": str(gate)})
    load(broker, "slow_guard")
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(code, broker, "late", "x")
        wait_until(lambda: "asked about late" in broker.stderr)
        unload(broker, "slow_guard")
        gate.touch()
        assert answer.result(30) == UNAVAILABLE


@pytest.mark.parametrize(("name", "points"), [
    ("emqx_auth_username", ["client.authenticate"]), ("emqx_retainer", []), ("emqx_dashboard", []), ("emqx_statsd", []),
    ("emqx_auth_mysql", ["client.authenticate", "client.check_acl"]), ("emqx_auth_jwt", ["client.authenticate"]),
    ("nobody_knows", ["client.authenticate", "client.check_acl", "client.subscribe"]),
])
def test_what_a_missing_plugin_might_decide(name: str, points: list[str]):
    """All of it where that is not known: a name on the list that is no plugin here may be that of a guard."""
    catalogue = Catalogue()
    catalogue.all()
    assert list(catalogue.decides(name)) == points
