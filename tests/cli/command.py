"""The command line as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.broker_process import CHECKOUT, BrokerProcess

PROGRAM = [sys.executable, "-c", "from emqx_mgmt.cli import main; main()"]


def run(broker: BrokerProcess, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *words], env=broker.env, cwd=CHECKOUT, timeout=60, input=given,
                          capture_output=True, text=True, check=False)


def done(broker: BrokerProcess, *words: str, given: str = "") -> str:
    """What a command prints that has to succeed."""
    ended = run(broker, *words, given=given)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    return ended.stdout


def refused(broker: BrokerProcess, *words: str, code: int = 1) -> str:
    """The one sentence of a command that has to fail."""
    ended = run(broker, *words)
    assert (ended.returncode, ended.stdout) == (code, ""), ended
    (sentence,) = ended.stderr.splitlines()
    return sentence


def table(text: str) -> list[list[str]]:
    """The rows of a table without blanks in its cells."""
    return [line.split() for line in text.splitlines()]


def read(broker: BrokerProcess, *words: str) -> Any:
    return json.loads(done(broker, *words, "--json"))
