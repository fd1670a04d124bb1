"""The README's first exchange, pasted as it stands."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.broker_process import CHECKOUT, BrokerProcess

HEADING = "## A first exchange"
# The README's ports are the defaults; the broker of a test has others. In front of the pasted commands' own arguments.
ON_THE_TESTS_PORTS = {
    "mosquitto_sub": "-h 127.0.0.1 -p {mqtt}",
    "mosquitto_pub": "-h 127.0.0.1 -p {mqtt}",
    "curl": "-sS --connect-to 127.0.0.1:8080:127.0.0.1:{api}",
}


@pytest.fixture
def paste(start_broker: Callable[..., BrokerProcess], tmp_path: Path) -> Callable[[str], str]:
    """Runs a text in a shell, and returns what it shows."""
    text = (CHECKOUT / "README.md").read_text()
    application = re.search(r"`EMQX_MANAGEMENT__BOOTSTRAP_APP=(\S+) make run`, and", text)
    assert application is not None
    broker = start_broker({"EMQX_MANAGEMENT__BOOTSTRAP_APP": application[1]})
    for command, arguments in ON_THE_TESTS_PORTS.items():
        arguments = arguments.format(mqtt=broker.mqtt_port, api=broker.api_port)
        wrapper = tmp_path / command
        wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/{command} {arguments} "$@"\n')
        wrapper.chmod(0o755)

    def run(commands: str) -> str:
        shell = subprocess.run(["sh"], input=commands, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, timeout=60,
                               capture_output=True, text=True, check=True)
        assert shell.stderr == ""
        return shell.stdout

    return run


def test_it_shows_what_the_readme_promises(paste: Callable[[str], str]) -> None:
    text = (CHECKOUT / "README.md").read_text().partition(HEADING)[2]
    commands, promised = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[:2]
    for _ in range(2):  # whoever pastes it once more sees the same
        assert paste(commands).rstrip("\n") == promised.rstrip("\n")
