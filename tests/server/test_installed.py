"""The installed package: `emqx-mgmt start` needs no checkout."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import psutil
import pytest

import emqx_mgmt
from tests.broker_process import wait_until

COMMAND = str(Path(sys.executable).with_name("emqx-mgmt"))

pytestmark = pytest.mark.skipif(not Path(COMMAND).exists(), reason="the package is not installed")


def test_the_command_starts_the_broker_anywhere(start_broker, tmp_path):
    broker = start_broker(command=[COMMAND, "start"], directory=tmp_path)
    assert broker.status().ok
    assert broker.stop() == 0
    assert "Traceback" not in broker.stderr, broker.stderr


def test_the_command_takes_a_file(start_broker, tmp_path):
    path = tmp_path / "own.conf"
    path.write_text("node.name = own@host\n")
    broker = start_broker(command=[COMMAND, "start", "--config", str(path)], directory=tmp_path)
    assert "Node own@host" in broker.status().text


def test_usr2_starts_the_command_again(start_broker, tmp_path):
    broker = start_broker(command=[COMMAND, "start"], directory=tmp_path)
    broker.signal(signal.SIGUSR2)
    wait_until(lambda: broker.stderr.count("Listening: http:management") == 2, 20)
    masters = [process for process in psutil.Process(broker.running.pid).children() if process.pid != broker.worker.pid]
    assert masters or broker.worker.children()


def test_wrong_usage_exits_with_2():
    assert subprocess.run([COMMAND, "start", "--nonsense"], capture_output=True, check=False).returncode == 2


def test_defaults_prints_every_key():
    text = subprocess.run([COMMAND, "defaults"], capture_output=True, check=True, text=True).stdout
    assert re.search(r"^# listener\.tcp\.external = 1883$", text, re.MULTILINE)


from_a_wheel = pytest.mark.skipif(not str(emqx_mgmt.__file__).startswith(sys.prefix),
                                  reason="an editable installation is not what a wheel brings")


@from_a_wheel
def test_samples_come_with_the_wheel():
    share = Path(sys.prefix) / "share" / "emqx-mgmt"
    assert "{allow, all}." in (share / "etc" / "acl.conf").read_text()
    assert (share / "etc" / "plugins" / "emqx_retainer.conf").exists()
    assert {path.name for path in (share / "deploy").iterdir()} >= {"Containerfile", "nginx.conf", "alerts.yml"}


@from_a_wheel
def test_the_extra_all_has_every_extra():
    about = distribution("emqx-mgmt").metadata
    [every] = [line for line in about.get_all("Requires-Dist") if re.search(r"extra == .all.", line)]
    assert set(re.search(r"\[(.*?)\]", every)[1].split(",")) == set(about.get_all("Provides-Extra")) - {"all"}
