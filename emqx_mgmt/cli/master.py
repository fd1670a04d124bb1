"""The master process of the running broker, which signals are sent to."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from emqx_mgmt.cli.control import fail

POLL_S = 0.05


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


def wait_until(condition: Callable[[], bool], deadline: float, sentence: str) -> None:
    """Polls until the condition holds. After the deadline (monotonic seconds), the process prints the sentence and
    exits with 1."""
    while not condition():
        if time.monotonic() > deadline:
            fail(sentence)
        time.sleep(POLL_S)
