"""Applications and the credentials they give (behaviour, 2.1, 2.4 and 5.18)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from emqx_mgmt.manage.fresh_secrets import FreshSecrets
from tests.broker_process import APP, BrokerProcess

LISTED = ["app_id", "name", "desc", "status", "expired"]


@pytest.fixture
def app(broker: BrokerProcess) -> Iterator[tuple[str, str]]:
    """An application of this test's own, and its secret."""
    secret = add(broker, app_id="mine", name="Mine").json()["secret"]
    yield "mine", secret
    broker.api("DELETE", "apps/mine")


def add(broker: BrokerProcess, **members: Any) -> Any:
    return broker.api("POST", "apps", json=members)


def test_a_secret_is_shown_to_administrators_for_a_while(broker: BrokerProcess, app: tuple[str, str]) -> None:
    assert len(app[1]) == 52
    assert broker.api("GET", "brokers", auth=app).status_code == 200
    shown = broker.api("GET", "apps/mine").json()
    assert list(shown) == ["app_id", "secret", "name", "desc", "status", "expired"]
    assert shown["secret"] == app[1]
    assert shown["expired"] == "undefined"
    listed = {row["app_id"]: row for row in broker.api("GET", "apps/").json()}
    assert list(listed["mine"]) == LISTED
    assert list(listed) == sorted(listed)
    assert app[1] not in broker.api("GET", "apps/").text


def test_add_takes_a_secret(broker: BrokerProcess) -> None:
    answer = add(broker, app_id="given", name="Given", secret="s e:cret")
    assert answer.json() == {"secret": "s e:cret"}
    assert broker.api("GET", "brokers", auth=("given", "s e:cret")).status_code == 200
    assert broker.api("DELETE", "apps/given").text == '"ok"'
    assert broker.api("GET", "brokers", auth=("given", "s e:cret")).status_code == 401


def test_an_empty_secret_is_none(broker: BrokerProcess) -> None:
    """EMQ X's dashboards send one for an application that is to get a secret, and show the one they then ask for."""
    secret = add(broker, app_id="given", name="Given", secret="").json()["secret"]
    assert len(secret) == 52
    assert broker.api("GET", "apps/given").json()["secret"] == secret
    rotated = broker.api("POST", "apps/given/secret").json()["secret"]
    assert broker.api("GET", "apps/given").json()["secret"] == rotated
    for role in ("viewer", "operator"):
        caller = role, add(broker, app_id=role, name=role, role=role).json()["secret"]
        assert broker.api("GET", "apps/given", auth=caller).json()["secret"] == "******"
        broker.api("DELETE", f"apps/{role}")
    broker.api("DELETE", "apps/given")
    assert broker.api("GET", "apps/tester").json()["secret"] == "******"


def test_a_secret_is_shown_for_ten_minutes() -> None:
    now = 1000.0
    fresh = FreshSecrets(lambda: now)
    fresh.put("one", "s")
    now += 599
    assert fresh.get("one") == "s"
    now += 2
    assert fresh.get("one") is None


def test_adding_twice_is_refused(broker: BrokerProcess, app: tuple[str, str]) -> None:
    answer = add(broker, app_id="mine", name="Other")
    assert (answer.status_code, answer.json()) == (500, {"message": "alread_existed"})
    assert broker.api("GET", "apps/mine").json()["name"] == "Mine"
    assert broker.api("GET", "brokers", auth=app).status_code == 200


def test_update_replaces_all_but_the_secret(broker: BrokerProcess, app: tuple[str, str]) -> None:
    later = int(time.time()) + 3600
    body = {"name": "New", "desc": "d", "status": True, "expired": later}
    assert broker.api("PUT", "apps/mine", json=body).text == '"ok"'
    shown = broker.api("GET", "apps/mine").json()
    assert {key: shown[key] for key in body} == body
    assert broker.api("GET", "brokers", auth=app).status_code == 200

    broker.api("PUT", "apps/mine", json={"name": "Newer"})
    shown = broker.api("GET", "apps/mine").json()
    assert (shown["name"], shown["desc"], shown["expired"]) == ("Newer", "undefined", "undefined")


@pytest.mark.parametrize("change", [{"status": False}, {"expired": 1}, {"expired": int(time.time()) - 1}])
def test_disabled_and_expired_are_refused(broker: BrokerProcess, app: tuple[str, str], change: dict[str, Any]) -> None:
    broker.api("PUT", "apps/mine", json={"name": "Mine"} | change)
    answer = broker.api("GET", "brokers", auth=app)
    assert (answer.status_code, answer.text) == (401, "UNAUTHORIZED")


def test_rotation_ends_the_old_secret(broker: BrokerProcess, app: tuple[str, str]) -> None:
    new = broker.api("POST", "apps/mine/secret").json()["secret"]
    assert broker.api("GET", "brokers", auth=app).status_code == 401
    assert broker.api("GET", "brokers", auth=("mine", new)).status_code == 200


def test_unknown_ids(broker: BrokerProcess) -> None:
    assert broker.api("GET", "apps/nobody").json() == []
    assert broker.api("DELETE", "apps/nobody").text == '"ok"'
    answer = broker.api("PUT", "apps/nobody", json={"name": "x"})
    assert (answer.status_code, answer.json()) == (500, {"message": "ont_found"})


@pytest.mark.parametrize("app_id", ["a b", "a/b", "7yz|securemode=3,x=1", "%", "%2F", "中", "+"])
def test_odd_ids(broker: BrokerProcess, app_id: str) -> None:
    secret = add(broker, app_id=app_id, name="Odd").json()["secret"]
    path = f"apps/{quote(app_id, safe='')}"
    assert broker.api("GET", path).json()["app_id"] == app_id
    assert broker.api("GET", "brokers", auth=(app_id.encode(), secret)).status_code == 200
    broker.api("DELETE", path)


def test_style_of_the_application(broker: BrokerProcess) -> None:
    made = add(broker, app_id="styled", name="S", style="envelope", names="dots").json()
    auth = ("styled", made["secret"])
    assert broker.api("GET", "brokers", auth=auth).json()["code"] == 0
    assert broker.api("GET", "brokers?_style=bare", auth=auth).json()[0]["version"] == "3.0"
    headers = {"X-API-Style": "bare"}
    assert broker.api("GET", "brokers", auth=auth, headers=headers).json()[0]["version"] == "3.0"
    assert broker.api("GET", "apps/styled").json()["style"] == "envelope"
    broker.api("DELETE", "apps/styled")


def test_applications_survive_kill_9(start_broker: Any) -> None:
    broker: BrokerProcess = start_broker()
    made = add(broker, app_id="kept", name="Kept").json()
    broker.kill9()
    broker.start()
    assert broker.api("GET", "brokers", auth=("kept", made["secret"])).status_code == 200
    assert broker.api("GET", "brokers", auth=APP).status_code == 200
    assert broker.api("GET", "apps/kept").json()["secret"] == "******"
