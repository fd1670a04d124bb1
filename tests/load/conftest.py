"""The load generator of the benchmarks, whose books are exact."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.loadgen import compiled


@pytest.fixture(scope="session")
def loadgen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """`loadgen("flow", port=…, pubs=…)`: runs it and returns its books."""
    program = compiled(tmp_path_factory.mktemp("loadgen"))

    def run(mode: str, **options: object) -> dict[str, Any]:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        done = subprocess.run([program, mode, *words], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
