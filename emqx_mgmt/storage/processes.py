"""Processes that run this package beside the worker."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import emqx_mgmt


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this Python."""
    return [sys.executable, "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Environment variables with which the process finds this package. Settings are left out, since secrets may be
    among them."""
    package = str(Path(emqx_mgmt.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return {name: value for name, value in os.environ.items() if not name.startswith("EMQX_")} | {"PYTHONPATH": path}
