"""For security people: the audit record, roles and scopes of applications, rotation of secrets, log levels."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.broker_process import APP, BrokerProcess, wait_until
from tests.clients.paho import Client

NODE = "nodes/emqx@127.0.0.1"
CLI = "from emqx_mgmt.cli import main; main()"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path_factory.mktemp("secured"), {"EMQX_MANAGEMENT__AUDIT_RECORDS": "40"}).start()
    yield broker
    broker.kill9()


def audit(broker: BrokerProcess, query: str = "") -> list[dict[str, Any]]:
    """Newest first."""
    rows: list[dict[str, Any]] = broker.api("GET", f"audit?{query}").json()["items"]
    return rows


def command(broker: BrokerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", CLI, *words], env=broker.env, cwd=broker.directory, timeout=60,
                          capture_output=True, text=True, check=False)


def application(broker: BrokerProcess, app_id: str, **members: Any) -> tuple[str, str]:
    answer = broker.api("POST", "apps", json={"app_id": app_id, "name": app_id, **members})
    return app_id, answer.json()["secret"]


# -- the audit record -----------------------------------------------------------------------------------


def test_who_changed_what_from_where_with_what_result(secured: BrokerProcess):
    other = application(secured, "other")
    began = int(time.time())
    secured.api("PUT", "configs/emqx", auth=other, json={"key": "mqtt.acl_nomatch", "value": "deny"})
    secured.api("DELETE", "connections/nobody?_style=envelope", auth=other)
    secured.api("PUT", f"{NODE}/plugins/emqx_recon/load", auth=("admin", "public"), port=secured.dash_port)
    load, kick, change = audit(secured, f"_gte_at={began}&_limit=3")
    assert (change["who"], change["kind"]) == ("other", "application")
    assert (change["from"], change["result"]) == ("127.0.0.1", "ok")
    assert (change["action"], change["method"]) == ("update_config", "PUT")
    assert (change["path"], change["params"]) == ("/api/v3/configs/emqx", '{"key":"mqtt.acl_nomatch","value":"deny"}')
    assert (kick["path"], kick["status"], kick["result"]) == ("/api/v3/connections/nobody", 200, "not_found")
    assert (load["who"], load["kind"], load["status"], load["result"]) == ("admin", "user", 500, "already_started")
    assert [row["path"] for row in audit(secured, "who=other&method=DELETE")] == ["/api/v3/connections/nobody"]
    page = secured.api("GET", "audit?who=other&_page=2&_limit=1").json()
    assert page["meta"] == {"page": 2, "limit": 1, "count": 2}
    assert page["items"] == [change]


def test_reading_and_publishing_are_no_changes(secured: BrokerProcess):
    before = audit(secured)
    secured.api("GET", "brokers")
    secured.api("POST", "mqtt/publish", json={"topic": "t", "payload": "x"})
    secured.api("POST", "mqtt/publish_batch", json=[{"topic": "t", "payload": "x"}, {"topic": "#"}, 5])
    secured.api("POST", "auth", json={"username": "admin", "password": "public"})
    secured.api("PUT", "brokers", auth=None)
    assert audit(secured) == before


def test_no_secret_is_on_record(secured: BrokerProcess):
    word = "hush-hush-1"
    secured.api("POST", "apps", json={"app_id": "one", "name": "one", "secret": word})
    rotated = secured.api("POST", "apps/one/secret").json()["secret"]
    secured.api("POST", "users", json={"username": "joe", "password": word, "tags": "x"})
    secured.api("PUT", "change_pwd/joe", json={"old_pwd": word, "new_pwd": word + "2"})
    secured.api("POST", "scram_users", json={"username": "joe", "password": word})
    secured.api("PUT", f"{NODE}/plugins/emqx_auth_username/load")
    secured.api("POST", "auth_username", json={"username": "joe", "password": word})
    secured.api("POST", "auth_username", json={"username": "joe", "passwort": word})
    keys = {"auth.user.1.username": "ann", "auth.user.1.password": word, "unknown.key": word}
    secured.api("PUT", f"{NODE}/plugin_configs/emqx_auth_username", json=keys)
    secured.api("PUT", "configs/emqx_auth_username", json={"key": "auth.user.1.password", "value": word})
    rows = audit(secured, "_limit=10")
    assert [row["action"] for row in reversed(rows)] == [
        "add_app", "rotate_secret", "create_user", "change_pwd", "create_scram_user", "load_plugin", "add_username",
        "add_username", "update_plugin_configs", "update_config"]
    for row in rows:
        assert word not in str(row)
        assert rotated not in str(row)
    assert '"auth.user.1.username":"ann"' in rows[1]["params"]
    for file in secured.data_dir.glob("management.db*"):
        assert word.encode() not in file.read_bytes()


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "mqtt/subscribe_batch", [{"topic": "t", "client_id": "x", "payload": "hush-2"}]),
    ("POST", "mqtt/unsubscribe_batch", [{"topic": "t", "client_id": "x", "payload": "hush-2"}, "hush-2"]),
    ("POST", "mqtt/unsubscribe", {"topic": "t", "client_id": "x", "payload": "hush-2"}),  # as the reference shows it
    ("PUT", f"{NODE}/plugins/emqx_recon/load", {"payload": "hush-2"}),
    ("DELETE", "connections/nobody?payload=hush-2", None),
    ("DELETE", "retained/t", {"payload": "hush-2"}),
    ("POST", "banned", {"as": "client_id", "who": "x", "until": 1, "payload": "hush-2"}),
])
def test_what_an_endpoint_does_not_take_is_not_on_record(secured: BrokerProcess, method: str, path: str, body: Any):
    """Nobody knows what it is: a payload, or a secret by another name."""
    secured.api(method, path, json=body)
    row = audit(secured, "_limit=1")[0]
    assert (row["method"], row["path"]) == (method, f"/api/v3/{path.partition('?')[0]}")
    assert "hush-2" not in str(row)


def test_the_record_is_bounded_and_survives_kill_9(secured: BrokerProcess):
    def shown() -> list[str]:
        return [row["path"].rpartition("/")[2] for row in audit(secured, "who=tester")]

    for number in range(41):
        secured.api("DELETE", f"connections/{number}")
    others = len(audit(secured)) - len(shown())
    latest = [str(number) for number in range(40, others, -1)]
    assert (len(audit(secured)), shown()) == (40, latest)
    secured.kill9()
    secured.start()
    assert shown() == latest
    secured.api("DELETE", "connections/41")
    assert shown() == ["41", *latest[:-1]]


def test_nobody_pushes_the_changes_of_others_out_of_the_record(secured: BrokerProcess):
    """Refused requests are on record as well, so anybody with credentials can make records."""
    secured.api("PUT", "configs/emqx", json={"key": "mqtt.acl_nomatch", "value": "allow"})
    flooder = application(secured, "flooder", role="viewer")
    for _ in range(60):
        assert secured.api("DELETE", "connections/x", auth=flooder).status_code == 403
    rows = audit(secured)
    assert len(rows) == 40
    assert [row["path"] for row in rows if row["who"] == "tester"][:2] == ["/api/v3/apps", "/api/v3/configs/emqx"]
    by_author = Counter(row["who"] for row in rows)
    assert by_author["flooder"] <= by_author["tester"] + 1


# -- the command line -----------------------------------------------------------------------------------


def cells(table: str, name: str) -> list[str]:
    """The cells of the line that begins with a name; the last one may have blanks."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{name} ")]
    return line.split(maxsplit=3)


def test_the_command_line_changes_the_running_broker_and_is_on_record(secured: BrokerProcess):
    listed = command(secured, "plugins", "list")
    assert cells(listed.stdout, "emqx_recon") == ["emqx_recon", "3.0", "yes", "EMQ X Recon Plugin"]
    for what, active in (("unload", "no"), ("load", "yes"), ("reload", "yes")):
        assert command(secured, "plugins", what, "emqx_recon").returncode == 0
        assert cells(command(secured, "plugins", "list").stdout, "emqx_recon")[2] == active
    refused = command(secured, "plugins", "unload", "emqx_management")
    assert (refused.returncode, "cannot be unloaded" in refused.stderr) == (1, True)
    row = audit(secured, "_limit=1")[0]
    assert (row["kind"], row["from"], row["action"]) == ("local", "local", "unload_plugin")
    assert "cannot be unloaded" in row["result"]


def test_the_control_socket_is_for_the_brokers_user(secured: BrokerProcess):
    socket_file = secured.data_dir / "control.sock"
    assert socket_file.stat().st_mode & 0o777 == 0o600
    if os.geteuid() == 0:  # whatever the file's mode is, the kernel tells who asks
        for path in (socket_file, *list(socket_file.parents)[:-1]):
            path.chmod(path.stat().st_mode | 0o711)
        socket_file.chmod(0o777)
        assert ask_as(0, socket_file) == b"HTTP/1.1 200"
        assert ask_as(65534, socket_file) == b""


def ask_as(user: int, file: Path) -> bytes:
    """The beginning of the answer that a process of that user gets."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(str(file))
                with suppress(ConnectionError):
                    sock.sendall(b"GET /api/v3/brokers HTTP/1.1\r\nHost: x\r\n\r\n")
                    os.write(writing, sock.recv(12))
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        found = answer.read()
    os.wait()
    return found


def test_without_a_broker_the_command_line_says_so(tmp_path):
    (tmp_path / "data").mkdir()
    found = subprocess.run([sys.executable, "-c", CLI, "plugins", "list"], timeout=60, capture_output=True, text=True,
                           env=os.environ | {"EMQX_NODE__DATA_DIR": str(tmp_path / "data")}, check=False)
    assert (found.returncode, "No broker runs" in found.stderr) == (69, True)


# -- applications ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "allowed"), [
    ("viewer", {"GET brokers"}),
    ("operator", {"GET brokers", "POST mqtt/publish", "DELETE connections/x"}),
    ("administrator", {"GET brokers", "POST mqtt/publish", "DELETE connections/x", "PUT configs/emqx", "GET audit"}),
])
def test_roles(secured: BrokerProcess, role: str, allowed: set[str]):
    caller = application(secured, role, role=role)
    for request in ("GET brokers", "POST mqtt/publish", "DELETE connections/x", "PUT configs/emqx", "GET audit",
                    f"PUT {NODE}/plugins/emqx_recon/load", "POST apps", "POST recon/gc"):
        method, path = request.split(" ")
        answer = secured.api(method, path, auth=caller)
        forbidden = request not in allowed and role != "administrator"
        assert (answer.status_code == 403) == forbidden, request
    if role == "viewer":
        answer = secured.api("DELETE", "connections/x?_style=envelope", auth=caller)
        assert (answer.status_code, answer.json()) == (200, {"code": 102, "message": "needs the role operator"})
        assert audit(secured, "_limit=1")[0]["result"] == "needs the role operator"


def test_scopes(secured: BrokerProcess):
    caller = application(secured, "scoped", scopes=["mqtt", "connections"], role="operator")
    assert secured.api("GET", f"{NODE}/connections", auth=caller).status_code == 200
    assert secured.api("GET", "connection/username/joe", auth=caller).status_code == 200
    assert secured.api("POST", "mqtt/publish", auth=caller, json={"topic": "t"}).status_code == 200
    answer = secured.api("GET", "sessions", auth=caller)
    assert (answer.status_code, answer.json()) == (403, {"message": "the application is not for sessions"})
    assert secured.api("GET", "recon/memory", auth=caller).status_code == 403


def test_what_v3_does_not_know_stays_when_a_tool_of_v3_updates(secured: BrokerProcess):
    plain = application(secured, "plain")
    assert list(secured.api("GET", "apps/plain").json()) == ["app_id", "secret", "name", "desc", "status", "expired"]
    caller = application(secured, "kept", role="viewer", scopes=["brokers"])
    assert secured.api("PUT", "apps/kept", json={"name": "New"}).json() == "ok"
    shown = secured.api("GET", "apps/kept").json()
    assert (shown["name"], shown["role"], shown["scopes"]) == ("New", "viewer", ["brokers"])
    secured.kill9()
    secured.start()
    assert secured.api("GET", "sessions", auth=caller).status_code == 403
    assert secured.api("GET", "sessions", auth=plain).status_code == 200
    assert secured.api("PUT", "apps/kept", json={"name": "New", "scopes": None}).json() == "ok"
    assert secured.api("GET", "sessions", auth=caller).status_code == 200
    for bad in ({"role": "king"}, {"scopes": "mqtt"}, {"scopes": ["a b"]}):
        assert secured.api("PUT", "apps/kept", json={"name": "New", **bad}).status_code == 422


def test_a_secret_is_rotated_with_an_overlap(secured: BrokerProcess):
    def works(secret: str) -> bool:
        return secured.api("GET", "brokers", auth=("turning", secret)).status_code == 200

    _, first = application(secured, "turning")
    second = secured.api("POST", "apps/turning/secret", json={"overlap": 3}).json()["secret"]
    assert works(first)
    assert works(second)
    assert secured.api("PUT", "apps/turning", json={"name": "renamed meanwhile"}).json() == "ok"
    wait_until(lambda: not works(first), 20)
    third = secured.api("POST", "apps/turning/secret", json={"overlap": 1000}).json()["secret"]
    assert works(second)
    fourth = secured.api("POST", "apps/turning/secret").json()["secret"]
    assert [works(secret) for secret in (first, second, third, fourth)] == [False, False, False, True]
    assert secured.api("POST", "apps/turning/secret", json={"overlap": -1}).status_code == 422
    shown = command(secured, "rotate-secret", "turning", "--overlap", "60").stdout
    assert works(shown.removeprefix("AppSecret: ").strip())
    assert works(fourth)


def test_a_rotated_secret_of_the_bootstrap_application_outlives_restarts(start_broker: Any):
    """The setting makes an application that is not there, and touches none that is."""
    broker: BrokerProcess = start_broker()
    kept = {"name": "kept", "role": "operator", "scopes": ["brokers", "apps"]}
    rotated = broker.api("POST", f"apps/{APP[0]}/secret").json()["secret"]
    assert broker.api("PUT", f"apps/{APP[0]}", auth=(APP[0], rotated), json=kept).json() == "ok"
    broker.kill9()
    broker.start()
    assert broker.api("GET", "brokers").status_code == 401
    shown = broker.api("GET", f"apps/{APP[0]}", auth=(APP[0], rotated)).json()
    assert {name: shown[name] for name in kept} == kept
    lines = [line for line in broker.stderr.splitlines() if "management.bootstrap_app" in line]
    assert len(lines) == 1
    assert "'tester': the stored one counts" in lines[0]
    assert APP[1] not in broker.stderr
    assert rotated not in broker.stderr


# -- the log --------------------------------------------------------------------------------------------


def test_log_levels_by_component(secured: BrokerProcess):
    def denied() -> int:
        with Client(secured.mqtt_port, "no", username="log") as client:
            client.publish("$SYS/x", b"1")  # the shipped rules allow only reading, and only from this machine
        return secured.stderr.count("may not publish to '$SYS/x'")

    rules = '{deny, {user, "log"}, publish, ["$SYS/#"]}.\n'
    file = secured.tmp_path / "acl.conf"
    file.write_text(rules)
    secured.api("PUT", "configs/emqx", json={"key": "mqtt.acl_file", "value": str(file)})
    before = denied()
    assert before
    assert secured.api("PUT", "log/levels/broker", json={"level": "error"}).json() == "ok"
    assert denied() == before
    rows = {row["component"]: row for row in secured.api("GET", "log/levels").json()}
    assert rows["broker"] == {"component": "broker", "level": "error", "set": True}
    assert rows["api"] == {"component": "api", "level": "info", "set": False}
    assert rows["emqx_retainer"]["level"] == "info"
    secured.kill9()
    secured.start()
    assert denied() == before
    assert command(secured, "log", "reset-level", "broker").returncode == 0
    assert denied() > before
    assert secured.api("PUT", "log/levels/plugins", json={"level": "debug"}).json() == "ok"
    assert cells(command(secured, "log", "levels").stdout, "emqx_retainer") == ["emqx_retainer", "debug", "no"]
    assert secured.api("PUT", "log/levels/nothing", json={"level": "debug"}).status_code == 404
    assert secured.api("PUT", "log/levels/api", json={"level": "loud"}).status_code == 422


def test_a_refused_connect_is_one_line_with_its_reason(start_broker):
    broker = start_broker({"EMQX_ALLOW_ANONYMOUS": "false", "EMQX_LOG__BURST_LIMIT": "20,2s"})
    broker.api("POST", "banned", json={"who": "bad\nboy", "as": "client_id"})
    with Client(broker.mqtt_port, "bad\nboy") as client:
        assert client.code == 0x87
    with Client(broker.mqtt_port, "stranger", username="joe", password="hush") as client:
        assert client.code == 0x87
    wait_until(lambda: "nothing decides about it" in broker.stderr, 10)
    lines = [line for line in broker.stderr.splitlines() if "CONNECT refused" in line]
    assert len(lines) == 2
    assert r"CONNECT refused: banned (client id 'bad\nboy', user name None, from 127.0.0.1:" in lines[0]
    assert "nothing decides about it, and allow_anonymous is off (client id 'stranger', user name 'joe'" in lines[1]
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", broker.mqtt_port), 10) as sock:
            sock.sendall(b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02ab")
            assert sock.recv(4) == b"\x20\x02\x00\x05"
    wait_until(lambda: "more lines of emqx_mgmt.broker.telemetry.connection_log (warning)" in broker.stderr, 30)
    assert broker.stderr.count("CONNECT refused: nothing decides") < 100
    assert "hush" not in broker.stderr
    assert APP[1] not in broker.stderr
