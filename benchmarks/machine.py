"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if "model name" in line), platform.machine())


def compiler() -> str:
    output = subprocess.run([os.environ.get("CC", "gcc"), "--version"], capture_output=True, text=True, check=False)
    return output.stdout.split("\n", 1)[0]


def machine() -> dict[str, str]:
    """Names and values, in the order to show them."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores, {memory / (1 << 30):.0f} GiB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', '')}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "Cython": importlib.metadata.version("cython"),
        "gevent": importlib.metadata.version("gevent"),
        "compiler": compiler(),
    }
