"""The six REST entries of the plugin system (behaviour, sections 5.10, 5.11 and 12)."""

from __future__ import annotations

import pytest

from tests.broker_process import BrokerProcess, wait_until
from tests.plugins.conftest import NODE, active, load, unload

DEFAULT = {"emqx_dashboard", "emqx_delayed_publish", "emqx_management", "emqx_recon", "emqx_retainer"}
WORDS = ("clientid", "http", "jwt", "ldap", "mongo", "mysql", "pgsql", "redis", "username")
AUTH = {f"emqx_auth_{word}" for word in WORDS}
SHIPPED = DEFAULT | AUTH | {"emqx_plugin_template", "emqx_reloader"}


def test_the_list_in_both_forms(broker: BrokerProcess):
    rows = broker.api("GET", f"{NODE}/plugins/").json()
    assert broker.api("GET", "plugins/").json() == [{"node": "emqx@127.0.0.1", "plugins": rows}]
    assert [list(row) for row in rows] == [["name", "version", "description", "active"]] * len(rows)
    assert [row["name"] for row in rows] == sorted(SHIPPED)
    assert {row["name"] for row in rows if row["active"]} == DEFAULT
    assert {row["version"] for row in rows} == {"3.0"}
    assert next(row["description"] for row in rows if row["name"] == "emqx_retainer") == "EMQ X Retainer"


def test_envelope(broker: BrokerProcess):
    assert broker.api("GET", f"{NODE}/plugins?_style=envelope").json()["code"] == 0
    answer = broker.api("PUT", f"{NODE}/plugins/emqx_recon/load?_style=envelope")
    assert (answer.status_code, answer.json()) == (200, {"code": 110, "message": "already_started"})
    answer = broker.api("PUT", f"{NODE}/plugin_configs/emqx_recon?_style=envelope", json={"nope": "1"})
    assert (answer.status_code, answer.json()) == (200, {"code": 102, "message": "unknown key nope"})


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("emqx_recon/load", 500, '{"message":"already_started"}'),
        ("emqx_reloader/unload", 500, '{"message":"not_started"}'),
        ("emqx_web_hook/load", 500, '{"message":"not_found"}'),
        ("emqx_web_hook/unload", 500, '{"message":"not_found"}'),
        ("no_such_word/load", 404, "Not found."),
        ("no_such_word/unload", 404, "Not found."),
        ("emqx_management/unload", 500,
         '{"message":"emqx_management answers this request and cannot be unloaded"}'),
    ],
)
def test_refusals(broker: BrokerProcess, path: str, status: int, body: str):
    answer = broker.api("PUT", f"{NODE}/plugins/{path}")
    assert (answer.status_code, answer.text) == (status, body)


def test_what_was_loaded_and_unloaded_survives_kill_9(start_broker):
    broker = start_broker()
    load(broker, "emqx_auth_username")
    unload(broker, "emqx_recon")
    changed = DEFAULT - {"emqx_recon"} | {"emqx_auth_username"}
    assert active(broker) == changed
    broker.kill9()
    broker.start()
    assert active(broker) == changed


def test_the_configured_set(start_broker):
    """Its variable is the one of the released images; what cannot be unloaded is there in any case."""
    broker = start_broker({"EMQX_LOADED_PLUGINS": "emqx_recon,no_such_plugin"})
    assert active(broker) == {"emqx_recon", "emqx_management"}
    assert "no_such_plugin is to be loaded and is not: it is not installed" in broker.stderr
    assert "Unknown variables" not in broker.stderr


class TestConfigs:
    def test_rows(self, broker: BrokerProcess):
        rows = broker.api("GET", f"{NODE}/plugin_configs/emqx_auth_username").json()
        assert [(row["key"], row["value"], row["required"]) for row in rows] == [
            ("auth.user.password_hash", "sha256", True),
            ("auth.user.$n.username", "", False),
            ("auth.user.$n.password", "", False),
            ("auth.user.import_file", "", False),
        ]
        assert all(list(row) == ["key", "value", "desc", "required"] and row["desc"] for row in rows)

    def test_unknown_and_without_settings(self, broker: BrokerProcess):
        assert broker.api("GET", f"{NODE}/plugin_configs/no_such_word").text == "Not found."
        assert broker.api("PUT", f"{NODE}/plugin_configs/no_such_word", json={}).text == "Not found."
        assert broker.api("GET", f"{NODE}/plugin_configs/emqx_management").json() == []

    @pytest.mark.parametrize(("body", "reason"), [
        ({"recon.gc_interval": 5}, "the value of recon.gc_interval must be a string"),
        ({"recon.gc_interval": "soon"}, "recon.gc_interval"),
        ({"nope": "1"}, "unknown key nope"),
    ])
    def test_a_bad_set_changes_nothing_and_says_why(self, broker: BrokerProcess, body: dict[str, object], reason: str):
        before = broker.api("GET", f"{NODE}/plugin_configs/emqx_recon").json()
        answer = broker.api("PUT", f"{NODE}/plugin_configs/emqx_recon", json=body)
        assert (answer.status_code, list(answer.json()), answer.json()["code"]) == (500, ["code", "message"], 102)
        assert reason in answer.json()["message"]
        assert broker.api("GET", f"{NODE}/plugin_configs/emqx_recon").json() == before

    def test_a_set_replaces_file_and_defaults_and_survives(self, start_broker, tmp_path):
        etc = tmp_path / "etc"
        etc.mkdir()
        (etc / "emqx_retainer.conf").write_text(
            "retainer.max_retained_messages = 7 # seven\nretainer.expiry_interval = 2h\n")
        broker = start_broker({"EMQX_PLUGINS__ETC_DIR": str(etc), "EMQX_RETAINER__MAX_PAYLOAD_SIZE": "64KB"})

        def values() -> dict[str, tuple[str, bool]]:
            rows = broker.api("GET", f"{NODE}/plugin_configs/emqx_retainer").json()
            return {row["key"].removeprefix("retainer."): (row["value"], row["required"]) for row in rows}

        assert values() == {"storage_type": ("ram", True), "max_retained_messages": ("7", True),
                            "max_payload_size": ("64KB", True), "expiry_interval": ("2h", True)}
        answer = broker.api("PUT", f"{NODE}/plugin_configs/emqx_retainer", json={"retainer.expiry_interval": "1h"})
        assert answer.json() == "ok"
        after = {"expiry_interval": ("1h", True), "max_payload_size": ("64KB", True),
                 "max_retained_messages": ("", False), "storage_type": ("", False)}
        assert values() == after
        assert "Unknown variables" not in broker.stderr
        broker.kill9()
        broker.start()
        assert values() == after

    def test_a_mistake_in_the_file_names_its_line(self, start_broker, tmp_path):
        etc = tmp_path / "etc"
        etc.mkdir()
        (etc / "emqx_recon.conf").write_text("\nrecon.gc_interval = soon\n")
        broker = start_broker({"EMQX_PLUGINS__ETC_DIR": str(etc)})
        assert "emqx_recon" not in active(broker)
        assert f"{etc}/emqx_recon.conf:2: recon.gc_interval ('soon') must be a duration" in broker.stderr
        answer = broker.api("PUT", f"{NODE}/plugins/emqx_recon/load")
        assert "emqx_recon.conf:2" in answer.json()["message"]

    def test_secrets_are_masked_and_may_be_sent_back(self, start_with_plugins, tmp_path):
        file = tmp_path / "secret"
        file.write_text("s3cret\n")
        broker = start_with_plugins({"EMQX_EVERYTHING__SECRET_FILE": str(file)})

        def rows() -> dict[str, str]:
            found = broker.api("GET", f"{NODE}/plugin_configs/test_everything").json()
            return {row["key"]: row["value"] for row in found if row["required"]}

        assert rows()["everything.secret"] == "******"
        assert broker.api("PUT", f"{NODE}/plugin_configs/test_everything", json=rows()).json() == "ok"
        assert rows()["everything.secret"] == "******"
        assert "s3cret" not in broker.api("GET", f"{NODE}/plugin_configs/test_everything").text

    def test_a_cold_key_restarts_a_hot_one_does_not(self, start_with_plugins):
        broker = start_with_plugins()
        load(broker, "test_everything")
        path = f"{NODE}/plugin_configs/test_everything"
        wait_until(lambda: broker.api("GET", "everything").json()["beats"] > 10, 10)
        assert broker.api("PUT", path, json={"everything.word": "bye"}).json() == "ok"
        state = broker.api("GET", "everything").json()
        assert state["word"] == "bye"
        assert state["beats"] > 10
        assert broker.api("PUT", path, json={"everything.tcp_port": "0", "everything.secret": "x"}).json() == "ok"
        state = broker.api("GET", "everything").json()
        assert state["word"] == "hello"
        assert state["beats"] < 10

    def test_a_set_that_the_plugin_cannot_run_with_is_taken_back(self, start_with_plugins):
        broker = start_with_plugins()
        load(broker, "test_everything")
        path = f"{NODE}/plugin_configs/test_everything"
        before = broker.api("GET", path).json()
        answer = broker.api("PUT", path, json={"everything.tcp_port": str(broker.mqtt_port)})
        assert (answer.status_code, answer.json()["code"]) == (500, 102)
        assert str(broker.mqtt_port) in answer.json()["message"]
        assert broker.api("GET", path).json() == before
        assert "test_everything" in active(broker)
        assert broker.api("GET", "everything").status_code == 200
