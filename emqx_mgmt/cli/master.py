"""The master process of the running broker, which signals are sent to."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from emqx_mgmt.cli.control import fail


def running_master(data_dir: Path, required: bool = True) -> int:
    """The master's process id, which the lock on the data directory names. Where no broker runs, returns 0, or exits
    with 69 if `required`."""
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
