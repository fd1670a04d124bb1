"""emqx_auth_username and emqx_auth_clientid (behaviour, 11.1, 22.1, 22.9)."""

from __future__ import annotations

import sqlite3

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, load, unload

SCHEMES = ("plain", "md5", "sha", "sha256", "bcrypt", "pbkdf2", "argon2")
REFUSED = 0x87


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory):
    broker = BrokerProcess(tmp_path_factory.mktemp("guarded"), {"EMQX_ALLOW_ANONYMOUS": "false"}).start()
    load(broker, "emqx_auth_username")
    load(broker, "emqx_auth_clientid")
    yield broker
    broker.kill9()


def enters(broker: BrokerProcess, client_id: str, username: str | None, password: str | None) -> bool:
    with Client(broker.mqtt_port, client_id, username, password) as client:
        assert client.code in (0, REFUSED)
        return client.code == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("plugin", "path", "member", "key"), [
    ("emqx_auth_username", "auth_username", "username", "auth.user.password_hash"),
    ("emqx_auth_clientid", "auth_clientid", "clientid", "auth.client.password_hash"),
])
def test_each_scheme(guarded: BrokerProcess, plugin: str, path: str, member: str, key: str, scheme: str):
    assert guarded.api("PUT", f"configs/{plugin}", json={"key": key, "value": scheme}).json() == "ok"
    name = f"{scheme}/ünï"
    assert guarded.api("POST", path, json={member: name, "password": "pass:wörd"}).json() == "ok"
    quoted = f"{path}/{scheme}%2F%C3%BCn%C3%AF"
    assert guarded.api("GET", quoted).json() == {member: name, "password_hash": scheme}
    identity = (name, None) if member == "clientid" else ("any", name)
    if member == "clientid":
        assert enters(guarded, name, "anybody", "pass:wörd")
        assert not enters(guarded, name, "anybody", "pass:word")
        assert not enters(guarded, name, None, None)
    else:
        assert enters(guarded, *identity, "pass:wörd")
        assert not enters(guarded, *identity, "pass:word")
        assert not enters(guarded, *identity, None)
    assert guarded.api("PUT", quoted, json={"password": "other"}).json() == "ok"
    assert enters(guarded, name if member == "clientid" else "any", name, "other")
    assert guarded.api("DELETE", quoted).json() == "ok"
    assert not enters(guarded, name if member == "clientid" else "any", name, "other")


def test_passwords_are_not_stored_as_they_are(guarded: BrokerProcess):
    guarded.api("PUT", "configs/emqx_auth_username", json={"key": "auth.user.password_hash", "value": "sha256"})
    guarded.api("POST", "auth_username", json={"username": "stored", "password": "visible?"})
    with sqlite3.connect(guarded.data_dir / "management.db") as db:
        rows = db.execute("SELECT * FROM emqx_auth_username").fetchall()
    assert any(row[0] == "stored" and row[1] == "sha256" and len(row[3]) == 64 for row in rows)
    assert "visible?" not in str(rows)
    guarded.api("DELETE", "auth_username/stored")


def test_rest_refusals(guarded: BrokerProcess):
    for _ in range(2):  # adding a client id again replaces its password, a user name does not
        assert guarded.api("POST", "auth_clientid", json={"clientid": "c", "password": "p"}).json() == "ok"
    assert guarded.api("POST", "auth_username", json={"username": "u", "password": "p"}).json() == "ok"
    assert guarded.api("GET", "auth_username").json() == ["u"]
    answer = guarded.api("POST", "auth_username", json={"username": "u", "password": "q"})
    assert (answer.status_code, answer.json()) == (500, {"message": "existed"})
    for method, body in (("GET", None), ("PUT", {"password": "x"}), ("DELETE", None)):
        answer = guarded.api(method, "auth_username/nobody", json=body)
        assert (answer.status_code, answer.json()) == (500, {"message": "not_found"})
    for body in ({}, {"username": "x"}, {"username": "", "password": "x"}, {"username": 7, "password": []}):
        assert guarded.api("POST", "auth_username", json=body).status_code == 422
    assert guarded.api("DELETE", "auth_username/u").json() == "ok"
    assert guarded.api("DELETE", "auth_clientid/c").json() == "ok"


def test_who_is_not_in_a_table_is_for_the_next_and_last_for_anonymous(start_broker):
    broker = start_broker()
    load(broker, "emqx_auth_username")
    broker.api("POST", "auth_username", json={"username": "joe", "password": "pw"})
    assert enters(broker, "c", None, None)
    assert enters(broker, "c", "nobody", "x")
    assert not enters(broker, "c", "joe", "x")
    assert enters(broker, "c", "joe", "pw")
    broker.api("PUT", "configs/emqx", json={"key": "mqtt.allow_anonymous", "value": "false"})
    assert not enters(broker, "c", None, None)
    assert not enters(broker, "c", "nobody", "x")
    broker.kill9()
    broker.start()
    assert not enters(broker, "c", "joe", "x")
    assert enters(broker, "c", "joe", "pw")
    unload(broker, "emqx_auth_username")
    assert not enters(broker, "c", "joe", "pw")


def test_a_file_of_users_that_are_slow_to_hash_keeps_nobody_waiting(start_broker, tmp_path):
    """Hashing 2,000 of them takes minutes; each counts from the load on, and changes meanwhile stay."""
    file = tmp_path / "users"
    file.write_text("".join(f"u{i}:p{i}\n" for i in range(2000)))
    broker = start_broker({
        "EMQX_ALLOW_ANONYMOUS": "false",
        "EMQX_AUTH__USER__PASSWORD_HASH": "pbkdf2", "EMQX_AUTH__USER__IMPORT_FILE": str(file),
    })
    load(broker, "emqx_auth_username")
    assert enters(broker, "c", "u1999", "p1999")
    assert not enters(broker, "c", "u1999", "p1")
    assert broker.api("PUT", "auth_username/u6", json={"password": "changed"}).json() == "ok"
    assert broker.api("DELETE", "auth_username/u7").json() == "ok"

    def stored() -> dict[str, str]:
        with sqlite3.connect(broker.data_dir / "management.db") as db:
            return dict(db.execute("SELECT name, scheme FROM emqx_auth_username"))

    wait_until(lambda: len(stored()) >= 19, 60, "the first twenty")
    assert set(stored().values()) == {"pbkdf2"}
    assert "u7" not in stored()
    assert enters(broker, "c", "u6", "changed")
    broker.kill9()
    broker.start()
    assert enters(broker, "c", "u0", "p0")
    assert enters(broker, "c", "u6", "changed")
    assert enters(broker, "c", "u1999", "p1999")


def test_users_from_settings_and_from_a_file(start_broker, tmp_path):
    file = tmp_path / "users"
    file.write_text("# user:password\nann:from:file\n\nseed:from file\n" + "".join(f"u{i}:p{i}\n" for i in range(500)))
    broker = start_broker({
        "EMQX_ALLOW_ANONYMOUS": "false",
        "EMQX_LOADED_PLUGINS": "emqx_auth_username emqx_recon",
        "EMQX_AUTH__USER__1__USERNAME": "seed", "EMQX_AUTH__USER__1__PASSWORD": "from settings",
        "EMQX_AUTH__USER__IMPORT_FILE": str(file),
    })
    assert enters(broker, "c", "seed", "from settings")
    assert enters(broker, "c", "ann", "from:file")
    assert enters(broker, "c", "u499", "p499")
    assert len(broker.api("GET", "auth_username").json()) == 502
    broker.api("PUT", "auth_username/ann", json={"password": "changed"})
    assert broker.api("PUT", f"{NODE}/plugins/emqx_auth_username/reload").json() == "ok"
    assert enters(broker, "c", "ann", "changed")
    assert "from settings" not in broker.api("GET", f"{NODE}/plugin_configs/emqx_auth_username").text
    file.write_text("ann\n")
    answer = broker.api("PUT", f"{NODE}/plugins/emqx_auth_username/reload")
    assert answer.json() == {"message": f"{file}:1: expected name:password"}
