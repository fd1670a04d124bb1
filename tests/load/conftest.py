"""The load generator of the benchmarks, whose books are exact."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "benchmarks" / "loadgen.c"


@pytest.fixture(scope="session")
def loadgen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """`loadgen("flow", port=…, pubs=…)`: runs it and returns its books."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    program = tmp_path_factory.mktemp("loadgen") / "loadgen"
    subprocess.run([compiler, "-O2", "-o", program, SOURCE], check=True)

    def run(mode: str, **options: object) -> dict[str, Any]:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        done = subprocess.run([program, mode, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
