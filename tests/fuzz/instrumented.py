"""The extension built to tell libFuzzer where it has been, in a directory of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
FLAGS = "-fsanitize-coverage=trace-pc,trace-cmp"


def build(directory: Path) -> None:
    """Everything under `directory`: the package, and the library with its counters."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "setup.py", "-q", "build_ext"]
    command += [f"--build-lib={directory}", f"--build-temp={directory}/temp"]
    subprocess.run(command, cwd=CHECKOUT, env=os.environ | {"CFLAGS": FLAGS}, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(CHECKOUT / "router_ext" / "__init__.py", directory / "router_ext")
    counters = Path(__file__).with_name("coverage.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", directory / "coverage.so", counters], check=True)


def load(directory: Path) -> None:
    """Makes `import router_ext` find that build, its coverage going to atheris. To be called before any such import."""
    import atheris

    # Lazily bound: the counters need atheris' symbols, and atheris has an empty function where the counters' is wanted.
    library = ctypes.CDLL(str(directory / "coverage.so"), ctypes.RTLD_GLOBAL | os.RTLD_LAZY)
    core = next(Path(atheris.__file__).parent.glob("core_with_libfuzzer*.so"))
    ctypes.CDLL(str(core), ctypes.RTLD_GLOBAL)
    library.coverage_begin()
    sys.path.insert(0, str(directory))
