"""Commands that are run beside a broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.broker_process import CHECKOUT, BrokerProcess


def data(broker: BrokerProcess, verb: str, file: Path) -> subprocess.CompletedProcess[str]:
    program = "from emqx_mgmt.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, "data", verb, str(file)], env=broker.env, cwd=CHECKOUT,
                          capture_output=True, text=True, timeout=60, check=False)
