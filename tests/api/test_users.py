"""Users of the dashboard (behaviour, 2.2, 2.5 and 5.19)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.broker_process import APP, BrokerProcess

ADMIN = ("admin", "public")


@pytest.fixture
def bob(broker: BrokerProcess) -> Iterator[tuple[str, str]]:
    body = {"username": "bob", "password": "secret", "tags": "viewer"}
    assert broker.api("POST", "users/", json=body).text == '"ok"'
    yield "bob", "secret"
    broker.api("DELETE", "users/bob")


def dash(broker: BrokerProcess, method: str, path: str, auth: Any = ADMIN, **kw: Any) -> Any:
    return broker.api(method, path, auth=auth, port=broker.dash_port, **kw)


def refusal(answer: Any) -> str:
    assert answer.status_code == 500
    assert list(answer.json()) == ["message"]
    return answer.json()["message"]


def test_first_start_makes_admin(broker: BrokerProcess) -> None:
    assert dash(broker, "GET", "users").json() == [{"username": "admin", "tags": "administrator"}]
    assert dash(broker, "GET", "apps").status_code == 200
    assert dash(broker, "GET", "brokers", auth=APP).status_code == 401
    assert broker.api("GET", "brokers", auth=ADMIN).status_code == 401


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For"])
def test_public_password_is_refused_through_a_proxy(broker: BrokerProcess, header: str) -> None:
    answer = dash(broker, "GET", "brokers", headers={header: "for=10.0.0.9"})
    assert answer.status_code == 401
    assert "default password" in answer.text
    body = {"username": "admin", "password": "public"}
    answer = dash(broker, "POST", "auth", auth=None, json=body, headers={header: "10.0.0.9"})
    assert "default password" in refusal(answer)


def test_another_first_password(start_broker: Any, tmp_path: Any) -> None:
    secret = tmp_path / "password"
    secret.write_text("other\n")
    broker = start_broker(env={"EMQX_DASHBOARD__DEFAULT_USER__PASSWORD_FILE": str(secret)})
    assert dash(broker, "GET", "brokers").status_code == 401
    answer = dash(broker, "GET", "brokers", auth=("admin", "other"), headers={"X-Forwarded-For": "1.2.3.4"})
    assert answer.status_code == 200


def test_users_and_their_passwords(broker: BrokerProcess, bob: tuple[str, str]) -> None:
    assert dash(broker, "GET", "users", auth=bob).json()[1] == {"username": "bob", "tags": "viewer"}
    assert dash(broker, "PUT", "users/bob", json={"tags": "x"}).text == '"ok"'
    assert dash(broker, "GET", "users").json()[1]["tags"] == "x"
    assert dash(broker, "GET", "users", auth=bob).status_code == 200

    body = {"old_pwd": "secret", "new_pwd": "better"}
    assert dash(broker, "PUT", "change_pwd/bob", json=body).text == '"ok"'
    assert dash(broker, "GET", "users", auth=bob).status_code == 401
    assert dash(broker, "GET", "users", auth=("bob", "better")).status_code == 200

    assert dash(broker, "DELETE", "users/bob").text == '"ok"'
    assert dash(broker, "GET", "users", auth=("bob", "better")).status_code == 401


@pytest.mark.parametrize("port", ["api_port", "dash_port"])
def test_auth_verifies_without_credentials(broker: BrokerProcess, bob: tuple[str, str], port: str) -> None:
    def auth(**body: str) -> Any:
        return broker.api("POST", "auth", auth=None, port=getattr(broker, port), json=body)

    assert auth(username="bob", password="secret").text == '"ok"'
    assert refusal(auth(username="bob", password="wrong")) == "Password Error"
    assert refusal(auth(username="bob")) == "Password undefined"
    assert refusal(auth(password="x")) == "Username undefined"
    assert refusal(auth(username="eve", password="x")) == "Username Not Found"
    envelope = broker.api("POST", "auth?_style=envelope", auth=None, json={"username": "eve", "password": "x"})
    assert (envelope.status_code, envelope.json()) == (200, {"code": 105, "message": "Username Not Found"})


def test_refusals(broker: BrokerProcess, bob: tuple[str, str]) -> None:
    def create(**body: str) -> Any:
        return broker.api("POST", "users", json=body)

    assert refusal(create(username="bob", password="x")) == "username already exist"
    assert refusal(create(username="", password="x")) == "Username or password undefined"
    assert refusal(create(username="carl")) == "Username or password undefined"
    assert refusal(broker.api("PUT", "users/eve", json={"tags": "x"})) == "username_not_found"
    assert refusal(broker.api("DELETE", "users/eve")) == "Username Not Found"
    assert refusal(broker.api("DELETE", "users/admin")) == "Cannot delete admin"
    body = {"old_pwd": "wrong", "new_pwd": "x"}
    assert refusal(broker.api("PUT", "change_pwd/bob", json=body)) == "Password Error"
    assert refusal(broker.api("PUT", "change_pwd/eve", json=body)) == "Username Not Found"
    assert refusal(broker.api("PUT", "change_pwd/bob", json={"new_pwd": "x"})) == "Password undefined"
    assert broker.api("PUT", "change_pwd/bob", json={"old_pwd": "secret"}).status_code == 422


def test_guessing_is_slowed_and_a_poller_is_not(start_broker: Any) -> None:
    broker = start_broker()
    assert dash(broker, "GET", "brokers").status_code == 200
    began = time.monotonic()
    for guess in range(10):
        assert dash(broker, "GET", "brokers", auth=("admin", f"guess{guess}")).status_code == 401
    assert time.monotonic() - began > 1.0
    began = time.monotonic()
    assert dash(broker, "GET", "brokers").status_code == 200
    assert broker.api("GET", "brokers").status_code == 200
    assert time.monotonic() - began < 0.9  # the next guess would have waited for a second


def test_users_survive_kill_9(start_broker: Any) -> None:
    broker = start_broker()
    assert broker.api("POST", "users", json={"username": "u", "password": "p"}).text == '"ok"'
    broker.kill9()
    broker.start()
    assert dash(broker, "GET", "users", auth=("u", "p")).status_code == 200
    assert "p" not in [row.get("password") for row in dash(broker, "GET", "users").json()]
