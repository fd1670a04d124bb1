"""Examples of the pages, as a reader types them: what a block of `sh` prints is what the block behind it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker_process import CHECKOUT, BrokerProcess

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("mosquitto_pub", "curl"))) or not (CHECKOUT / "docs").exists(),
    reason="mosquitto-clients, curl and the documents are needed")

EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
SECRET = "a secret of the examples, of 32 bytes or more"


def sections(page: str) -> Iterator[object]:
    """The examples of a section together, behind those of the first section, which set variables."""
    text = (CHECKOUT / "docs" / page).read_text()
    before = ""
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        found = EXAMPLE.findall(section)
        script = "".join(f"{commands}echo -n '\x1e'\n" for commands, _shown in found)
        if any(shown for _commands, shown in found):
            yield pytest.param(before + script, [shown for _commands, shown in found],
                               id=f"{page}-{section.splitlines()[0]}")
        elif found and not before:
            before = "".join(commands for commands, _shown in found)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    place = tmp_path_factory.mktemp("examples")
    process = BrokerProcess(
        place, {"EMQX_MANAGEMENT__BOOTSTRAP_APP": "appid:secret", "EMQX_AUTH__JWT__SECRET": SECRET},
        command=[str(Path(sys.executable).with_name("emqx-mgmt")), "start"], directory=place).start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.stderr, process.stderr


def run(script: str, broker: BrokerProcess) -> list[str]:
    prepared = script.replace("127.0.0.1:8080", f"127.0.0.1:{broker.api_port}")
    for client in ("mosquitto_pub", "mosquitto_sub"):
        prepared = f'{client}() {{ command {client} -p {broker.mqtt_port} "$@"; }}\n{prepared}'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", prepared], capture_output=True, text=True, timeout=60, check=False,
                          env=broker.env | {"PATH": path}, cwd=broker.tmp_path)
    said = done.stdout.split("\x1e")
    return [*said[:-1], said[-1] + done.stderr]


# In this order: the last one leaves a broker that asks for passwords.
@pytest.mark.parametrize(("script", "shown"), [example for page in ("shipped-plugins.md", "backup.md", "start.md")
                                               for example in sections(page)])
def test_examples_print_what_is_shown(shell: BrokerProcess, script: str, shown: list[str]) -> None:
    script = script.replace("mosquitto_pub", "mosquitto_pub 2>&1")
    printed = run(script, shell)
    assert len(printed) == len(shown) + 1, printed
    for text, wanted in zip(printed, shown, strict=False):
        if wanted:
            pattern = ".*".join(map(re.escape, wanted.strip().split("…")))
            assert re.fullmatch(pattern, text.strip(), re.DOTALL), text
