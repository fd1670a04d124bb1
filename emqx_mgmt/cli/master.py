"""The master process of the running broker, which takes the signals."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from emqx_mgmt.cli.control import fail


def running_master(data_dir: Path, required: bool = True) -> int:
    """Its number, by the lock on the data directory. Where none runs 0, or an end with 69."""
    try:
        with (data_dir / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
    except FileNotFoundError:
        pass
    if required:
        fail(f"No broker runs with the data directory {data_dir}", os.EX_UNAVAILABLE)
    return 0
