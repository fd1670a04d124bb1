"""Where the files and directories of the settings are, what the start log says of them, and EMQ X's own file."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from emqx_mgmt.settings import SettingsError, load
from emqx_mgmt.settings.table import find
from tests.broker_process import wait_until
from tests.clients.paho import Client

DENY = "{deny, all}.\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An installation as EMQ X has it, below a directory that is not where anything is started."""
    site = tmp_path / "opt"
    (site / "etc/plugins").mkdir(parents=True)
    (site / "etc/acl.conf").write_text(DENY)
    (site / "etc/plugins/emqx_retainer.conf").write_text("retainer.max_payload_size = 1KB\n")
    return site


def config(path: Path, text: str = "") -> Path:
    path.write_text(text)
    return path


def where(file: Path, key: str) -> str:
    return str(load({}, file)[key])


def test_a_broker_that_is_started_elsewhere_reads_what_is_beside_its_file(start_broker, site, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = config(site / "etc/emqx.conf")
    command = [str(Path(sys.executable).with_name("emqx-mgmt")), "start", "--config", str(file)]
    broker = start_broker({"EMQX_NODE__DATA_DIR": "data"}, command=command, directory=elsewhere)
    with Client(broker.mqtt_port) as client:
        assert client.subscribe("a") == 0x80
    rows = broker.api("GET", "nodes/emqx@127.0.0.1/plugin_configs/emqx_retainer").json()
    assert next(row["value"] for row in rows if row["key"] == "retainer.max_payload_size") == "1KB"
    for line in (f"Configuration: {file}", f"ACL rules: {site}/etc/acl.conf", f"Data directory: {site}/data",
                 f"Settings of plugins: in {site}/etc/plugins: emqx_retainer.conf",
                 f"Listening: mqtt:tcp external on 127.0.0.1:{broker.mqtt_port}"):
        assert f"[INFO] {line}\n" in broker.stderr
    assert (site / "data/management.db").exists()
    assert not list(elsewhere.iterdir())


def test_paths_begin_at_the_configuration_file(site, tmp_path, monkeypatch):
    flat = config(tmp_path / "broker.conf", "acl_file = rules.conf\nnode.data_dir = var/data\n")
    config(tmp_path / "rules.conf", DENY)
    monkeypatch.chdir(site)
    assert load({}, flat)["acl_file"].path == str(tmp_path / "rules.conf")
    assert where(flat, "node.data_dir") == str(tmp_path / "var/data")
    in_etc = config(site / "etc/emqx.conf", "listener.ssl.external.certfile = certs/cert.pem\n")
    config(site / "etc/own.conf", DENY)
    assert where(in_etc, "node.data_dir") == str(site / "data")
    assert where(in_etc, "plugins.etc_dir") == str(site / "etc/plugins")
    assert where(in_etc, "listener.ssl.external.certfile") == str(site / "certs/cert.pem")
    (site / "etc/certs").mkdir()
    config(site / "etc/certs/cert.pem")
    assert where(in_etc, "listener.ssl.external.certfile") == str(site / "etc/certs/cert.pem")
    settings = load({"EMQX_ACL_FILE": "own.conf", "EMQX_PLUGINS__ETC_DIR": "/srv/plugins"}, in_etc)
    assert settings["acl_file"].path == str(site / "etc/own.conf")
    assert settings["plugins.etc_dir"] == "/srv/plugins"
    settings.change("acl_file", "etc/own.conf")
    assert settings["acl_file"].path == str(site / "etc/own.conf")


def test_etc_may_stand_for_the_directory_of_the_file(site, tmp_path):
    """Such as /etc/emqx, where packages put EMQ X's files."""
    packaged = tmp_path / "packaged"
    shutil.move(site / "etc", packaged)
    assert load({}, config(packaged / "emqx.conf"))["acl_file"].path == str(packaged / "acl.conf")


def test_an_acl_file_that_is_named_and_not_there_ends_the_start(tmp_path):
    file = config(tmp_path / "emqx.conf", "acl_file = etc/acl.conf\n")
    with pytest.raises(SettingsError, match=r"emqx\.conf:1: acl_file \('etc/acl\.conf'\) cannot be read: No such file"):
        load({}, file)
    assert load({}, config(file))["acl_file"].is_shipped


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = tmp_path / "emqx.conf"
    file.write_bytes(b"\xef\xbb\xbfnode.name = a@b\n")
    (tmp_path / "acl.conf").write_bytes(b"\xef\xbb\xbf" + DENY.encode())
    assert load({}, file)["node.name"] == "a@b"
    assert not load({"EMQX_ACL_FILE": "acl.conf"}, file)["acl_file"].rules[0].allow


# -- EMQ X's own file -------------------------------------------------------------------------------------


def test_the_file_of_emqx_3_0_is_taken_as_it_is(site):
    file = site / "etc/emqx.conf"
    shutil.copy(Path(__file__).with_name("emqx_3_0.conf"), file)
    settings = load({}, file)
    assert settings["listener.tcp.internal.backlog"] == 512
    assert settings["listener.ssl.external.keyfile"] == str(site / "etc/certs/key.pem")
    assert {"node.cookie", "rpc.send_timeout", "listener.ssl.external.active_n"} <= {*settings.ignored}
    assert not [key for key in settings.ignored if find(key)]


def test_every_fault_is_told_at_once(start_broker, tmp_path):
    file = config(tmp_path / "emqx.conf", "node.cookie = x\nno.such.key = 1\nmqtt.max_packet_size = big\nnode.name\n"
                                          "listener.tcp.external.zoen = a\n")
    broker = start_broker({"EMQX_CONFIG": str(file), "EMQX_ACL_NOMATCH": "perhaps\nnot"}, ready=False)
    assert broker.wait() == 78
    assert broker.stderr.splitlines() == [
        f"{file}:4: expected key = value",
        f"{file}:2: unknown key no.such.key",
        f"{file}:3: mqtt.max_packet_size ('big') must be a size such as 1024, 64KB or 1MB, below 4GB",
        f"{file}:5: unknown key listener.tcp.external.zoen",
        "EMQX_ACL_NOMATCH: acl_nomatch ('perhaps\\nnot') must be one of allow, deny",
    ]


def test_keys_of_emqx_are_one_warning(start_broker, tmp_path):
    file = config(tmp_path / "emqx.conf", "node.cookie = x\nos_mon.cpu_high_watermark = 90%\n")
    broker = start_broker({"EMQX_CONFIG": str(file)})
    wait_until(lambda: "[WARNING] Keys of EMQ X that have no meaning here are ignored: node.cookie, "
                       "os_mon.cpu_high_watermark (here monitor.cpu_high_watermark)\n" in broker.stderr)
