"""The load generator of the benchmarks, built for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[1] / "benchmarks" / "loadgen"


def compiled(directory: Path) -> Path:
    """The program, made in `directory`. Skips where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    program = directory / "loadgen"
    flags = ["-O2", "-Wall", "-Wextra", "-Wmissing-prototypes", "-Werror"]
    subprocess.run([compiler, *flags, "-o", program, *sorted(SOURCES.glob("*.c"))], check=True)
    return program
