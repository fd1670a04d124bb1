"""What the command line says when something is in its way: a sentence, and an exit code of docs/operation.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emqx_mgmt import server
from emqx_mgmt.server.master import Master
from emqx_mgmt.settings import load
from tests.broker_process import CHECKOUT, BrokerProcess

GUNICORN = str(Path(sys.executable).with_name("gunicorn"))
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")


def command(broker: BrokerProcess, *words: str) -> tuple[int, str]:
    program = "from emqx_mgmt.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *words], env=broker.env, cwd=CHECKOUT, timeout=60,
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def test_a_backup_cannot_be_written_where_there_is_no_directory(broker, tmp_path):
    file = tmp_path / "none/backup.zip"
    assert command(broker, "data", "export", str(file)) == (73, f"{file}: No such file or directory\n")


def test_a_command_for_a_broker_that_does_not_run(broker, tmp_path):
    for words in (("plugins", "list"), ("certs", "reload")):
        stopped = BrokerProcess(tmp_path)
        assert command(stopped, *words) == (69, f"No broker runs with the data directory {stopped.data_dir}\n")


def test_an_unknown_plugin_is_wrong_usage(broker):
    code, said = command(broker, "defaults", "--plugin", "none")
    assert code == 2
    assert said.endswith("Error: There is no plugin none\n")


@ROOT_ONLY
def test_another_user_is_told_so(start_broker, tmp_path):
    tmp_path.chmod(0o755)
    broker = start_broker()
    program = ("import os; from emqx_mgmt.cli import control, data, main; b'x'.decode('utf-8-sig'); "
               "os.setegid(65534); os.seteuid(65534); main(['plugins', 'list'])")
    done = subprocess.run([sys.executable, "-c", program], env=broker.env, cwd=CHECKOUT, timeout=60,
                          capture_output=True, text=True, check=False)
    sentence = f"Only root and the user that the broker runs as may use {broker.data_dir}\n"
    assert (done.returncode, done.stderr) == (77, sentence)


def test_only_the_data_directory_has_to_be_writable(tmp_path, monkeypatch):
    master = Master(load({"EMQX_NODE__DATA_DIR": str(tmp_path)}, Path("/dev/null")))
    assert master.heartbeat_dir == "/dev/shm"
    monkeypatch.setattr(server.master, "MEMORY", "/none")
    assert master.heartbeat_dir == str(tmp_path)


@ROOT_ONLY
def test_gunicorn_may_not_change_the_user(start_broker):
    broker = start_broker(ready=False, command=[GUNICORN, "--user", "nobody", "wsgi:app"])
    assert broker.wait() == 78
    assert broker.stderr == "The broker runs as the user who starts it: run without --user and --group, as that user.\n"


def test_every_exit_code_of_the_source_is_in_the_table():
    table = {int(code) for code in re.findall(r"^\| (\d+) \| ", (CHECKOUT / "docs/operation.md").read_text(),
                                                 re.MULTILINE)}
    names = {name for path in (CHECKOUT / "emqx_mgmt").rglob("*.py")
             for name in re.findall(r"os\.(EX_[A-Z]+)", path.read_text())}
    assert {getattr(os, name) for name in names} <= table
