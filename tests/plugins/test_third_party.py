"""A plugin of somebody else's, written as docs/plugins.md says, built and installed as a package."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.broker_process import CHECKOUT, BrokerProcess, free_ports, wait_until
from tests.clients.paho import Client
from tests.plugins.conftest import NODE, active, load, unload

FILE = re.compile(r"`([\w.]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)

ODD = """
from emqx_mgmt.plugins import Key, Plugin
from emqx_mgmt.settings.kinds import integer
X = Key("odd.x", integer(0, 5), "1", "A number.")
class Version(Plugin):
    name, description, version = "odd_version", "Odd", 1
class Twice(Plugin):
    name, description, settings = "odd_twice", "Odd", (X, X)
class Default(Plugin):
    name, description, settings = "odd_default", "Odd", (Key("odd.x", integer(0, 5), "many", "A number."),)
"""


def install(project: Path, site: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation",
         "--disable-pip-version-check", "--target", str(site), str(project)],
        check=True, timeout=120,
    )


def names(broker: BrokerProcess) -> set[str]:
    return {row["name"] for row in broker.api("GET", f"{NODE}/plugins").json()}


def test_the_page_keeps_what_it_promises(start_broker, tmp_path):
    project, site = tmp_path / "acme-doorman", tmp_path / "site"
    project.mkdir()
    site.mkdir()
    files = FILE.findall((CHECKOUT / "docs" / "plugins.md").read_text())
    assert [name for name, _ in files] == ["pyproject.toml", "acme_doorman.py"]
    for name, text in files:
        (project / name).write_text(text)
    broker = start_broker({"PYTHONPATH": str(site)})
    assert "acme_doorman" not in names(broker)
    install(project, site)  # while the broker runs
    assert "acme_doorman" in names(broker)
    row = next(row for row in broker.api("GET", f"{NODE}/plugins").json() if row["name"] == "acme_doorman")
    assert row == {"name": "acme_doorman", "version": "1.0", "active": False,
                   "description": "Keeps unwanted clients out and greets the others"}
    load(broker, "acme_doorman")
    assert broker.api("PUT", "doorman/joe").json() == "ok"
    assert broker.api("GET", "doorman").json() == ["joe"]
    broker.kill9()
    broker.start()
    assert "acme_doorman" in active(broker)
    with Client(broker.mqtt_port, "watcher") as watcher:
        watcher.subscribe("greetings/#")
        with Client(broker.mqtt_port, "joe") as joe:
            assert joe.code == 0x87
        assert broker.api("DELETE", "doorman/joe?_style=envelope").json() == {"code": 0}
        assert broker.api("DELETE", "doorman/joe").json() == {"message": "not_found"}
        with Client(broker.mqtt_port, "joe") as joe:
            assert joe.code == 0
        assert watcher.receive().payload == b"Welcome, joe"
        change = {"key": "doorman.greeting", "value": "Hello"}
        assert broker.api("PUT", "configs/acme_doorman", json=change).json() == "ok"
        with Client(broker.mqtt_port, "ann"):
            assert watcher.receive().payload == b"Hello, ann"
    unload(broker, "acme_doorman")
    assert broker.api("GET", "doorman").status_code == 404


def test_a_package_that_cannot_be_imported_is_told_and_not_listed(start_broker, tmp_path):
    site = tmp_path / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[emqx_mgmt.plugins]\nbroken = broken:Broken\nother = json:loads\n"
                                           "version = odd:Version\ntwice = odd:Twice\ndefault = odd:Default\n")
    (site / "odd.py").write_text(ODD)
    (site / "broken.py").write_text("import nothing_of_this_name\n")
    broker = start_broker({"PYTHONPATH": str(site)})
    assert "emqx_recon" in active(broker)
    assert "broken" not in names(broker)
    wait_until(lambda: "The plugin of broken:Broken cannot be imported" in broker.stderr, 5)
    assert "The plugin of odd:Version is not listed: its description and version must be text" in broker.stderr
    assert "The plugin of odd:Twice is not listed: it has the setting odd.x twice" in broker.stderr
    assert "odd:Default is not listed: the default of odd.x must be an integer from 0 to 5" in broker.stderr
    assert "The plugin of json:loads is not listed: it is not a subclass of Plugin" in broker.stderr


def test_own_listeners_survive_hup(start_with_plugins):
    """The new worker starts while the old one may still hold the port."""
    tcp, udp = free_ports(2)
    broker = start_with_plugins({"EMQX_EVERYTHING__TCP_PORT": str(tcp), "EMQX_EVERYTHING__UDP_PORT": str(udp),
                                 "EMQX_LOADED_PLUGINS": "test_everything,emqx_recon"})
    assert "test_everything" in active(broker)
    old = broker.worker.pid
    broker.signal(signal.SIGHUP)
    wait_until(lambda: broker.worker.pid != old, 20)
    broker.http.close()
    wait_until(lambda: broker.is_ready() and "test_everything" in active(broker), 40)
    assert broker.api("GET", "everything").json()["tcp_port"] == tcp
