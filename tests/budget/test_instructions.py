"""Instructions for each message on the main paths, counted by valgrind: unlike times they do not depend on what else
the machine does, so that a change which makes a path dearer is seen when it is made.

`.ci/run` installs valgrind and sets INSTRUCTION_TESTS=required.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
VALGRIND = shutil.which("valgrind")
TOLERANCE = 1.15  # compilers, C libraries and builds of Python differ

# As measured, for each message received (a connect: for each connection, with its end; a
# filter: for its SUBSCRIBE and its UNSUBSCRIBE), and none of the kernel's.
MEASURED = {
    "QoS 0, 64 a write": 85,
    "QoS 0, one a write": 2151,
    "QoS 0, 1 to 100": 842,
    "QoS 0, 100 to 1": 235,
    "QoS 0, 64 a write, MQTT 5": 90,
    "QoS 0, 1 to 100, 64 a write": 4.1,
    "QoS 0, 1 to 100, 64 a write, MQTT 5 described": 14.4,
    "QoS 0, 100 pairs, one a write": 1870,
    "QoS 0, 16 a write": 214,
    "QoS 0, 16 a write, MQTT 5 described": 376,
    "QoS 0, 1 MB": 116486,
    "QoS 1": 2290,
    "QoS 2": 3389,
    "connect": 57704,
    "connect, MQTT 5": 93943,
    "a filter, 50 a packet": 5194,
}

pytestmark = pytest.mark.skipif(VALGRIND is None and os.environ.get("INSTRUCTION_TESTS") != "required",
                                reason="valgrind is not installed")


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Instructions for each message of each part. Of the files that the tool writes, one a mark, every other one is a
    part; the ones between are its preparation."""
    directory = tmp_path_factory.mktemp("counted")
    done = subprocess.run(
        [str(VALGRIND), "--tool=callgrind", f"--callgrind-out-file={directory}/part",
         "--toggle-collect=__pyx_pw_*7Reactor_*turn", "--dump-before=*7Metrics_*snapshot",
         sys.executable, "-m", "tests.budget.work"],
        cwd=CHECKOUT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, timeout=170, check=True)
    counts = {}
    for i, line in enumerate(done.stdout.splitlines(), start=1):
        messages, name = line.split("\t")
        found = re.search(r"^totals: (\d+)", (directory / f"part.{2 * i}").read_text(), re.MULTILINE)
        assert found is not None, f"nothing was counted for {name}"
        counts[name] = int(found[1]) / int(messages)
    return counts


def test_every_part_is_counted(counted: dict[str, float]) -> None:
    assert counted.keys() == MEASURED.keys()
    assert all(counted.values())


@pytest.mark.parametrize("part", MEASURED)
def test_a_message_takes_no_more_instructions_than_it_did(part: str, counted: dict[str, float]) -> None:
    assert counted[part] <= MEASURED[part] * TOLERANCE
