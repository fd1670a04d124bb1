"""Figures of this process and its machine, read at most once a second."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from pathlib import Path

import gevent
import psutil
from msgspec import Struct

# The shape of `R21/10.0.5` filled with what runs here: the language version and the full release of it.
RELEASE = f"R{sys.version_info.major}.{sys.version_info.minor}/{platform.python_version()}"
REFRESH_S = 1.0
DESCRIPTORS = Path("/proc/self/fd")


class Figures(Struct, frozen=True, gc=False):
    """`load` of 1, 5 and 15 minutes as text; memory in bytes."""

    load: tuple[str, str, str]
    max_fds: int
    memory_total: int
    memory_used: int
    threads: int
    max_threads: int


class Runtime:
    """Caches the figures: several pollers cost one reading."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._read_at = -REFRESH_S
        self._figures: Figures | None = None

    def figures(self) -> Figures:
        """Read anew after `REFRESH_S` seconds."""
        now = time.monotonic()
        if self._figures is None or now - self._read_at >= REFRESH_S:
            self._figures = self._read()
            self._read_at = now
        return self._figures

    def _read(self) -> Figures:
        with self._process.oneshot():
            used = self._process.memory_info().rss
            threads = self._process.num_threads()
        load1, load5, load15 = (f"{load:.2f}" for load in os.getloadavg())
        return Figures(
            load=(load1, load5, load15),
            max_fds=_limit(resource.RLIMIT_NOFILE, Path("/proc/sys/fs/nr_open")),
            memory_total=_memory_limit(),
            memory_used=used,
            threads=threads,
            max_threads=_limit(resource.RLIMIT_NPROC, Path("/proc/sys/kernel/threads-max")),
        )


def open_descriptors() -> int:
    """How many the process has: the size of the directory, since Linux 6.2. An older kernel lists them, on another
    thread, since there is one for each connection."""
    if size := DESCRIPTORS.stat().st_size:
        return size
    found: list[str] = gevent.get_hub().threadpool.apply(os.listdir, (DESCRIPTORS,))
    return len(found) - 1   # without the one that the list was read by


def _limit(kind: int, kernel: Path) -> int:
    """The soft limit, or the kernel's own where there is none."""
    soft, _ = resource.getrlimit(kind)
    return soft if soft != resource.RLIM_INFINITY else int(kernel.read_text())


def _memory_limit() -> int:
    machine: int = psutil.virtual_memory().total
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(text)) if text.isdigit() else machine
