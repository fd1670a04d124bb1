"""`emqx-mgmt reload`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import click

from emqx_mgmt.cli.configured import CONFIG, DATA_DIR, data_dir_of
from emqx_mgmt.cli.control import Control
from emqx_mgmt.cli.master import running_master, wait_until
from emqx_mgmt.listeners.control import connect, process_of

OUTCOME = "reloaded.json"   # the master writes it into the data directory


@click.command()
@click.option("--within", type=click.IntRange(1), default=60, show_default=True, metavar="SECONDS",
              help="How long to wait for the new worker.")
@DATA_DIR
@CONFIG
def reload(config: str | None, data_dir: str | None, within: int) -> None:
    """Have the running broker read its settings again and start a new worker with them. Returns once the new worker
    serves clients, which have to connect again. Where the settings have faults, the broker continues unchanged, each
    fault is printed, and the exit code is 78."""
    place = data_dir_of(config, data_dir)
    deadline = time.monotonic() + within
    master, worker, before = running_master(place), worker_of(place), outcome(place)
    os.kill(master, signal.SIGHUP)
    wait_until(lambda: outcome(place) != before, deadline,
               f"The broker (process {master}) has not read its settings within {within} s")
    complaints = json.loads(outcome(place))["complaints"]
    for complaint in complaints:
        click.echo(complaint, err=True)
    if complaints:
        sys.exit(os.EX_CONFIG)
    wait_until(lambda: worker_of(place) not in (worker, 0) and Control(place).text("/health/ready")[0] == 200, deadline,
               f"The new worker does not serve clients after {within} s: see emqx-mgmt status")
    click.echo("The settings were read again, and a new worker serves clients.")


def outcome(place: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (place / OUTCOME).read_text()
    return ""


def worker_of(place: Path) -> int:
    """The process id of the worker that serves the control socket; 0 while there is none."""
    with contextlib.suppress(ConnectionRefusedError, FileNotFoundError), connect(place) as sock:
        return process_of(sock)
    return 0
