"""What is wrong with the configuration, and where each setting comes from."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess
from tests.cli.command import PROGRAM, done, read, refused, run

CONFIG = """\
node.name = own@host
node.nome = x
mqtt.max_packet_size = big
listener.ssl.a = 127.0.0.1:8884
listener.ssl.a.certfile = /none.pem
listener.tcp.a = 127.0.0.1:1883
listener.tcp.b = 127.0.0.1:1883
acl_file = {place}/acl.conf
plugins.etc_dir = {place}
plugins.loaded = emqx_recon,my_guard
nonsense
listener.foo.a.speed = 1
"""
RULES = '{allow, all}.\n{allow, nobody}.\n{deny, {user, "x"}, eat, ["a"]}.\n{deny'
PLUGIN = "retainer.max_payload_size = huge\nretainer.nope = 1\n"
FAULTS = (
    r"emqx\.conf:11: expected key = value", r"emqx\.conf:12: unknown key listener\.foo\.a\.speed",
    r"emqx\.conf:2: unknown key node\.nome",
    r"emqx\.conf:3: mqtt\.max_packet_size \('big'\) must be", r"emqx\.conf:5: mqtt:ssl a on .*/none\.pem: No such file",
    r"emqx\.conf:7: mqtt:tcp b on 127\.0\.0\.1:1883 has the port of mqtt:tcp a",
    r"emqx\.conf:8: acl_file .*line 2: .*line 3: .*line 4: ", r"emqx\.conf:10: plugins\.loaded names my_guard",
    r"EMQX_MQTT__MAX_QOS_ALLOWED: ", r"emqx_retainer\.conf:1: retainer\.max_payload_size \('huge'\)",
    r"emqx_retainer\.conf:2: unknown key retainer\.nope",
)


@pytest.fixture
def idle(tmp_path: Path) -> BrokerProcess:
    """A broker that does not run."""
    return BrokerProcess(tmp_path)


def test_check_says_every_fault(idle: BrokerProcess, tmp_path: Path) -> None:
    (tmp_path / "emqx.conf").write_text(CONFIG.format(place=tmp_path))
    (tmp_path / "acl.conf").write_text(RULES)
    (tmp_path / "emqx_retainer.conf").write_text(PLUGIN)
    before = sorted(tmp_path.iterdir())
    idle.env["EMQX_MQTT__MAX_QOS_ALLOWED"] = "9"
    ended = run(idle, "check", "--config", str(tmp_path / "emqx.conf"))
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    lines = ended.stderr.splitlines()
    for fault in FAULTS:
        assert [line for line in lines if re.search(fault, line)], fault
    assert len(lines) == len(FAULTS)
    assert sorted(tmp_path.iterdir()) == before


def test_check_finds_nothing_in_the_shipped_files(idle: BrokerProcess) -> None:
    assert done(idle, "check") == "No fault in etc/emqx.conf\n"
    assert read(idle, "check") == []


def test_a_default_file_of_rules_that_is_wrong(tmp_path: Path, start_broker) -> None:
    """Also the start says so, and not something of TLS."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/acl.conf").write_text("{allow")
    idle = BrokerProcess(tmp_path)
    idle.env["EMQX_CONFIG"] = str(tmp_path / "etc/emqx.conf")
    (tmp_path / "etc/emqx.conf").write_text("")
    sentence = refused(idle, "check", code=os.EX_CONFIG)
    assert sentence == f"{tmp_path}/etc/acl.conf: line 1: a full stop is missing"
    broker = start_broker({"EMQX_CONFIG": idle.env["EMQX_CONFIG"]}, ready=False, command=[*PROGRAM, "start"])
    assert (broker.wait(), broker.stderr.strip()) == (os.EX_CONFIG, sentence)


def test_each_value_has_its_origin(idle: BrokerProcess, tmp_path: Path) -> None:
    file = tmp_path / "emqx.conf"
    file.write_text("\nacl_nomatch = deny\nzone.mine.max_inflight = 3\n")
    idle.env |= {"EMQX_CONFIG": str(file), "EMQX_NODE__NAME": "own@host", "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD": "x"}
    shown = {row["key"]: (row["value"], row["origin"]) for row in read(idle, "config", "show", "--files")}
    assert shown["acl_nomatch"] == ("deny", f"{file}:2")
    assert shown["zone.mine.acl_nomatch"] == ("deny", f"acl_nomatch: {file}:2")
    assert shown["zone.mine.max_inflight"] == ("3", f"{file}:3")
    assert shown["node.name"] == ("own@host", "EMQX_NODE__NAME")
    assert shown["mqtt.max_qos_allowed"] == ("2", "default")
    assert shown["dashboard.default_user.password"] == ("******", "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD")


def test_a_running_broker_shows_what_was_changed_over_rest(broker: BrokerProcess) -> None:
    assert broker.api("PUT", "configs/emqx", json={"key": "mqtt.acl_nomatch", "value": "deny"}).json() == "ok"
    shown = done(broker, "config", "show", "--origin", "acl_nomatch", "listener.tcp.external.acceptors")
    assert shown.splitlines() == ["acl_nomatch = deny    # REST", "listener.tcp.external.acceptors = 8    # default"]
