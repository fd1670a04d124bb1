"""Users of the dashboard: their roles, passwords that were forgotten, and log-ins that fail."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from emqx_mgmt.storage import checksums
from emqx_mgmt.storage.audit import SHARE
from emqx_mgmt.storage.schema import MIGRATIONS
from tests.broker_process import BrokerProcess, wait_until

NODE = "nodes/emqx@127.0.0.1"
ADMIN = ("admin", "public")
CLI = "from emqx_mgmt.cli import main; main()"
KEPT = 60


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("dashboard"), {
        "EMQX_MANAGEMENT__AUDIT_RECORDS": str(KEPT), "EMQX_MONITOR__CHECK_INTERVAL": "200ms",
    }).start()
    yield broker
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def dash(broker: BrokerProcess, method: str, path: str, auth: Any = ADMIN, **kw: Any) -> requests.Response:
    return broker.api(method, path, auth=auth, port=broker.dash_port, **kw)


def user(broker: BrokerProcess, name: str, **members: Any) -> tuple[str, str]:
    made = dash(broker, "POST", "users", json={"username": name, "password": "secret", **members})
    assert made.json() == "ok"
    return name, "secret"


def command(broker: BrokerProcess, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CLI, *words], env=broker.env, cwd=broker.directory, timeout=60,
                          input=given, capture_output=True, text=True, check=False)


def audit(broker: BrokerProcess, query: str = "") -> list[dict[str, Any]]:
    """Newest first."""
    rows: list[dict[str, Any]] = broker.api("GET", f"audit?{query}").json()["items"]
    return rows


# -- roles ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "allowed"), [
    ("viewer", {"GET brokers", "GET users"}),
    ("operator", {"GET brokers", "GET users", "POST mqtt/publish", "DELETE connections/x"}),
])
def test_roles(dashboard: BrokerProcess, role: str, allowed: set[str]):
    """As applications have them."""
    caller = user(dashboard, role, role=role, tags="administrator")  # a remark
    for request in ("GET brokers", "GET users", "POST mqtt/publish", "DELETE connections/x", "PUT configs/emqx",
                    "GET audit", f"PUT {NODE}/plugins/emqx_recon/load", "POST apps", "POST users", "DELETE users/x",
                    f"PUT users/{role}", "PUT change_pwd/admin", "POST data/export"):
        method, path = request.split(" ")
        answer = dash(dashboard, method, path, caller, json={"role": "administrator", "old_pwd": "x", "new_pwd": "x"})
        assert (answer.status_code == 403) == (request not in allowed), request
    answer = dash(dashboard, "PUT", f"change_pwd/{role}", caller, json={"old_pwd": "secret", "new_pwd": "better"})
    assert answer.json() == "ok"
    assert dash(dashboard, "GET", "brokers", (role, "better")).status_code == 200
    assert dash(dashboard, "GET", "brokers", caller).status_code == 401
    dash(dashboard, "DELETE", f"users/{role}")


def test_a_role_is_changed_at_once_and_shown(dashboard: BrokerProcess):
    caller = user(dashboard, "carl", role="viewer", tags="night shift")
    rows = {row["username"]: row for row in dash(dashboard, "GET", "users").json()}
    assert rows == {"admin": {"username": "admin", "tags": "administrator"},
                    "carl": {"username": "carl", "tags": "night shift", "role": "viewer"}}
    shown = dash(dashboard, "GET", "users?_fields=extended").json()
    assert [row["role"] for row in shown] == ["administrator", "viewer"]
    assert dash(dashboard, "POST", "apps", caller, json={}).status_code == 403
    assert dash(dashboard, "PUT", "users/carl", json={"role": "administrator"}).json() == "ok"
    assert dash(dashboard, "POST", "apps", caller, json={}).status_code == 422
    assert dash(dashboard, "PUT", "users/carl", json={"tags": "day shift"}).json() == "ok"
    assert dash(dashboard, "GET", "users").json()[1] == {"username": "carl", "tags": "day shift"}
    for bad in ({"role": "king"}, {}, {"password": ""}):
        assert dash(dashboard, "PUT", "users/carl", json=bad).status_code == 422
    dash(dashboard, "DELETE", "users/carl")


def test_the_last_administrator_stays(dashboard: BrokerProcess):
    answer = dash(dashboard, "PUT", "users/admin", json={"role": "viewer", "password": "changed"})
    assert (answer.status_code, answer.json()["message"]) == (500, "Cannot take away the last administrator")
    assert dash(dashboard, "GET", "brokers").status_code == 200
    second = user(dashboard, "second")
    assert dash(dashboard, "PUT", "users/admin", json={"role": "viewer"}).json() == "ok"
    answer = dash(dashboard, "DELETE", "users/second", second)
    assert answer.json()["message"] == "Cannot take away the last administrator"
    assert dash(dashboard, "PUT", "users/admin", second, json={"role": "administrator"}).json() == "ok"
    assert dash(dashboard, "DELETE", "users/second").json() == "ok"


def test_users_of_an_older_store_are_administrators(start_broker: Any):
    broker: BrokerProcess = start_broker()
    user(broker, "old", role="viewer", tags="viewer")
    broker.stop()
    before = next(number for number, script in enumerate(MIGRATIONS) if "user ADD COLUMN role" in script)
    with closing(sqlite3.connect(broker.data_dir / "management.db", isolation_level=None)) as connection:
        checksums.install(connection)
        checksums.run_script(connection, "DROP TABLE login; DROP INDEX failed_login; ALTER TABLE user DROP COLUMN role;"
                             f" PRAGMA user_version = {before};")
    broker.start()
    assert dash(broker, "PUT", f"{NODE}/plugins/emqx_recon/reload", ("old", "secret")).status_code == 200
    shown = dash(broker, "GET", "users?_fields=extended").json()
    assert [(row["username"], row["role"]) for row in shown] == [("admin", "administrator"), ("old", "administrator")]


# -- passwords ------------------------------------------------------------------------------------------


def test_an_administrator_sets_a_forgotten_password(dashboard: BrokerProcess):
    user(dashboard, "eve")
    assert dashboard.api("PUT", "users/eve", json={"password": "remembered", "tags": ""}).json() == "ok"
    assert dash(dashboard, "GET", "brokers", ("eve", "secret")).status_code == 401
    assert dash(dashboard, "GET", "brokers", ("eve", "remembered")).status_code == 200
    assert dashboard.api("PUT", "users/nobody", json={"password": "x"}).json() == {"message": "username_not_found"}
    (row,) = audit(dashboard, "action=update_user&path=/api/v3/users/eve&_limit=1")
    assert row["params"] == '{"password":"******","tags":""}'
    dash(dashboard, "DELETE", "users/eve")


@pytest.mark.parametrize("how", ["argument", "standard input"])
def test_the_command_line_sets_the_password_of_admin(dashboard: BrokerProcess, how: str):
    words, given = (("argued",), "") if how == "argument" else ((), "typed\n")
    done = command(dashboard, "admins", "passwd", "admin", *words, given=given)
    assert (done.returncode, done.stdout) == (0, "The password of admin was changed\n"), done.stderr
    changed = ("admin", words[0] if words else "typed")
    assert dash(dashboard, "GET", "brokers", ADMIN).status_code == 401
    assert dash(dashboard, "GET", "brokers", changed).status_code == 200
    row = audit(dashboard, "action=update_user&_limit=1")[0]
    assert (row["kind"], row["from"], row["result"]) == ("local", "local", "ok")
    assert changed[1] not in str(row)
    assert dash(dashboard, "PUT", "users/admin", changed, json={"password": "public"}).json() == "ok"


def test_the_command_line_refuses_what_cannot_be(dashboard: BrokerProcess):
    unknown = command(dashboard, "admins", "passwd", "nobody", "x")
    assert (unknown.returncode, unknown.stderr) == (1, "This name does not exist.\n")
    assert command(dashboard, "admins", "passwd", "admin", given="\n").returncode == 64
    assert dash(dashboard, "GET", "brokers").status_code == 200


def test_a_first_password_set_later_counts_while_public_stands(start_broker: Any):
    broker: BrokerProcess = start_broker()
    key = "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD"
    broker.stop()
    broker.env[key] = "set-later"
    broker.start()
    assert dash(broker, "GET", "brokers").status_code == 401
    assert dash(broker, "GET", "brokers", ("admin", "set-later")).status_code == 200
    broker.stop()
    broker.env[key] = "set-again"
    broker.start()
    assert dash(broker, "GET", "brokers", ("admin", "set-later")).status_code == 200
    lines = [line for line in broker.stderr.splitlines() if "dashboard.default_user.password" in line]
    assert len(lines) == 2
    assert "no longer the default one" in lines[0]
    assert "the stored one counts" in lines[1]
    assert "set-" not in broker.stderr


# -- log-ins that fail ----------------------------------------------------------------------------------


def test_a_failed_log_in_is_on_record_and_in_the_log(dashboard: BrokerProcess):
    for auth, port in ((("admin", "guess-1"), dashboard.dash_port), (("tester", "guess-2"), dashboard.api_port)):
        assert dashboard.api("PUT", "brokers", auth=auth, port=port).status_code == 401
    body = {"username": "nobody\n\x1b[1m", "password": "guess-3"}
    assert dashboard.api("POST", "auth", auth=None, json=body).status_code == 500
    foreign = {"X-Forwarded-For": "203.0.113.9"}
    assert dash(dashboard, "GET", "brokers", headers=foreign).status_code == 401
    assert dash(dashboard, "GET", "brokers", None).status_code == 401  # nobody has tried
    rows = audit(dashboard, "action=log_in&_limit=4")
    found = [(row["kind"], row["who"], row["method"], row["path"], row["status"], row["result"][:20])
             for row in reversed(rows)]
    assert found == [
        ("user", "admin", "PUT", "/api/v3/brokers", 401, "UNAUTHORIZED"),
        ("application", "tester", "PUT", "/api/v3/brokers", 401, "UNAUTHORIZED"),
        ("user", "nobody\n\x1b[1m", "POST", "/api/v3/auth", 500, "Username Not Found"),
        ("user", "admin", "GET", "/api/v3/brokers", 401, "the default password"),
    ]
    assert {row["from"] for row in rows} == {"127.0.0.1"}
    assert "Log-in refused: UNAUTHORIZED (user 'admin', from 127.0.0.1)" in dashboard.stderr
    assert "Log-in refused: UNAUTHORIZED (application 'tester', from 127.0.0.1)" in dashboard.stderr
    assert r"Log-in refused: Username Not Found (user 'nobody\n\x1b[1m', from 127.0.0.1)" in dashboard.stderr
    assert "guess-" not in dashboard.stderr + str(rows)


def failed(broker: BrokerProcess) -> int:
    text = requests.get(f"{broker.base_url}/metrics", timeout=10).text
    return int(text.split("\nemqx_logins_failed_total ")[1].split("\n")[0])


def test_guesses_are_counted_and_raise_an_alarm_and_push_no_change_out(start_broker: Any):
    broker: BrokerProcess = start_broker({
        "EMQX_MANAGEMENT__AUDIT_RECORDS": str(KEPT), "EMQX_MONITOR__CHECK_INTERVAL": "200ms",
    })
    for number in range(KEPT - 5):
        broker.api("DELETE", f"connections/{number}")
    began, guesses = time.monotonic(), 30
    # Of an application, whose guesses cost no hashing; from as many addresses, for which nobody waits long.
    for number in range(guesses):
        with requests.Session() as session:
            session.mount("http://", From(f"127.0.0.{number + 2}"))
            answer = session.get(f"{broker.base_url}/api/v3/brokers", auth=("tester", str(number)), timeout=10)
            assert answer.status_code == 401
    assert failed(broker) == guesses
    extended = broker.api("GET", "metrics?_fields=extended").json()[0]["metrics"]
    assert extended["logins/failed"] == guesses
    assert "logins/failed" not in broker.api("GET", "metrics").json()[0]["metrics"]
    wait_until(lambda: "failed_logins" in broker.api("GET", "alarms/present").text)
    rows = audit(broker, "action=log_in")
    assert len(rows) == KEPT // SHARE
    assert len(audit(broker, "method=DELETE&_limit=100")) == KEPT - KEPT // SHARE
    if time.monotonic() - began < 10:  # else a new period has begun
        assert broker.stderr.count("Log-in refused") == 20
    # The next row says what is missing.
    wait_until(lambda: more_are_told(broker), 40)


def more_are_told(broker: BrokerProcess) -> bool:
    broker.api("GET", "brokers", auth=("tester", "once more"))
    return "more before are not on record" in audit(broker, "action=log_in&_limit=1")[0]["result"]


class From(requests.adapters.HTTPAdapter):
    """Requests from another address of this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kw: Any) -> None:
        super().init_poolmanager(*args, source_address=(self.address, 0), **kw)
