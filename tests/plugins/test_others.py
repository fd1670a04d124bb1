"""emqx_recon, emqx_reloader and emqx_plugin_template (behaviour, 22.15 to 22.17)."""

from __future__ import annotations

import socket

import pytest

from emqx_mgmt.plugins.catalogue import SHIPPED_PACKAGE, Catalogue
from emqx_mgmt.settings.file import read_file
from emqx_mgmt.settings.sample import plugin_sample
from tests.broker_process import CHECKOUT, BrokerProcess, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, active, install, load, unload


def test_recon_says_what_moves(broker: BrokerProcess):
    memory = broker.api("GET", "recon/memory").json()
    assert abs(memory["rss"] - broker.rss()) < 64 << 20
    before = memory["gc_collections"][2]
    collection = broker.api("POST", "recon/gc").json()
    assert collection["pause_ms"] > 0
    after = broker.api("GET", "recon/memory").json()
    assert after["gc_collections"][2] > before
    assert after["latest_collection"] == collection
    stats = broker.api("GET", "recon/node_stats").json()
    assert stats["greenlets"] > 3
    assert stats["hub_lag_max_ms"] >= stats["hub_lag_ms"] >= 0


def test_recon_ranks_sessions(start_broker):
    broker = start_broker()
    for name, count in (("full", 30), ("half", 15)):
        queue_up(broker, name, count)
    rows = broker.api("GET", "recon/sessions?top=2").json()
    assert [(row["client_id"], row["queued"]) for row in rows] == [("full", 30), ("half", 15)]
    assert broker.api("GET", "recon/sessions?top=0").status_code == 422


def queue_up(broker: BrokerProcess, client_id: str, count: int) -> None:
    """An absent session of that name with `count` messages waiting."""
    name = client_id.encode()
    with socket.create_connection(("127.0.0.1", broker.mqtt_port)) as sock:
        sock.sendall(b"\x10" + bytes([12 + len(name)]) + b"\x00\x04MQTT\x04\x00\x00\x3c" +
                     len(name).to_bytes(2, "big") + name)
        assert sock.recv(4)[3] == 0
        sock.sendall(b"\x82" + bytes([5 + len(name)]) + b"\x00\x01" + len(name).to_bytes(2, "big") + name + b"\x01")
        assert sock.recv(5)[4] == 1
        sock.sendall(b"\xe0\x00")
        assert sock.recv(1) == b""
    with Client(broker.mqtt_port) as client:
        for _ in range(count):
            client.publish(client_id, b"x")


def test_recon_collects_at_its_interval(start_broker):
    broker = start_broker({"EMQX_RECON__GC_INTERVAL": "100ms"})
    wait_until(lambda: broker.api("GET", "recon/memory").json()["latest_collection"], 10)


def test_the_template_does_what_it_shows(start_broker):
    """Other than the original it keeps passwords out of the log and lets nobody in."""
    broker = start_broker({"EMQX_ALLOW_ANONYMOUS": "false", "EMQX_TEMPLATE__BEAT": "100ms"})
    load(broker, "emqx_plugin_template")
    with Client(broker.mqtt_port, "one", "joe", "s3cret") as client:
        assert client.code == 0x87
    assert "authenticate one, user joe" in broker.stderr
    assert "s3cret" not in broker.stderr
    load(broker, "emqx_auth_username")
    broker.api("POST", "auth_username", json={"username": "joe", "password": "s3cret"})
    with Client(broker.mqtt_port, "watcher", "joe", "s3cret") as watcher:
        watcher.subscribe("template/#")
        wait_until(lambda: watcher.receive().payload == b"still here", 10)
        with Client(broker.mqtt_port, "two", "joe", "s3cret"):
            wait_until(lambda: watcher.receive().payload == b"two connected", 10)
        wait_until(lambda: watcher.receive().payload == b"two disconnected: normal", 10)
        hot = {"key": "template.topic", "value": "elsewhere"}
        assert broker.api("PUT", "configs/emqx_plugin_template", json=hot).json() == "ok"
        watcher.subscribe("elsewhere")
        wait_until(lambda: watcher.receive().topic == "elsewhere", 10)
    assert broker.api("PUT", "template/notes/a%2Fb", json={"note": "x"}).json() == "ok"
    unload(broker, "emqx_plugin_template")
    load(broker, "emqx_plugin_template")
    assert broker.api("GET", "template/notes/a%2Fb").json() == {"note": "x"}
    assert broker.api("GET", "template/notes/c").json() == {"message": "not_found"}


CODE = """
from emqx_mgmt.plugins import Plugin, Route

class Changing(Plugin):
    name = "changing"
    version = "1"
    description = "Changes while it runs"

    def load(self):
        {load}

    def routes(self):
        return (Route("changing", "GET", "/changing", "Its state", lambda: {state!r}),)
"""


@pytest.mark.parametrize("running", [True, False])
def test_the_reloader_takes_up_changed_code(start_broker, tmp_path, running: bool):
    site = tmp_path / "site"
    install(site, "changing", {"changing": "changing:Changing"})
    source = site / "changing.py"
    source.write_text(CODE.format(load="pass", state="old"))
    broker = start_broker({"PYTHONPATH": str(site), "EMQX_RELOADER__INTERVAL": "200ms",
                           "EMQX_RELOADER__LOGFILE": str(tmp_path / "reloader.log"), "PYTHONDONTWRITEBYTECODE": "1"})
    load(broker, "emqx_reloader")
    if running:
        load(broker, "changing")
        assert broker.api("GET", "changing").json() == "old"
    source.write_text(CODE.format(load="pass", state="new"))
    wait_until(lambda: "changing changed and was loaded again" in noted(tmp_path), 15)
    assert ("changing" in active(broker)) == running
    if not running:
        load(broker, "changing")
    assert broker.api("GET", "changing").json() == "new"
    for broken in (CODE.format(load="raise ValueError('half done')", state="worse"), "class Changing("):
        count = noted(tmp_path).count("stays as it was")
        source.write_text(broken)
        wait_until(lambda count=count: noted(tmp_path).count("stays as it was") > count, 15)
        wait_until(lambda: state(broker) == "new", 15)
    source.write_text(CODE.format(load="pass", state="newest"))
    wait_until(lambda: state(broker) == "newest", 15)


def state(broker: BrokerProcess) -> object:
    """None for the moment between two instances."""
    answer = broker.api("GET", "changing")
    return answer.json() if answer.status_code == 200 else None


def noted(tmp_path) -> str:
    file = tmp_path / "reloader.log"
    return file.read_text() if file.exists() else ""


def test_the_files_of_plugins_are_as_printed_and_change_nothing():
    """etc/plugins has one for each plugin of the broker that has settings."""
    shipped = {plugin.name: plugin for plugin in Catalogue().all() if plugin.__module__.startswith(SHIPPED_PACKAGE)}
    files = CHECKOUT / "etc" / "plugins"
    assert {file.stem for file in files.iterdir()} == {name for name, plugin in shipped.items() if plugin.settings}
    for file in files.iterdir():
        plugin = shipped[file.stem]
        assert file.read_text() == plugin_sample(plugin.name, plugin.description, plugin.settings), (
            f"run: emqx-mgmt defaults --plugin {plugin.name} > etc/plugins/{plugin.name}.conf")
        assert not list(read_file(file))


def test_reload_over_rest(broker: BrokerProcess):
    for form in (NODE, ""):  # of a node, and as v3.1 has it of all
        assert broker.api("PUT", f"{form}/plugins/emqx_recon/reload").json() == "ok"
    assert broker.api("PUT", "plugins/emqx_recon/unload").json() == "ok"
    assert broker.api("PUT", "plugins/emqx_recon/reload").json() == {"message": "not_started"}
    load(broker, "emqx_recon")
    answer = broker.api("PUT", f"{NODE}/plugins/emqx_reloader/reload")
    assert (answer.status_code, answer.json()) == (500, {"message": "not_started"})
