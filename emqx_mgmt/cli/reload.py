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
from emqx_mgmt.cli.control import Control, fail
from emqx_mgmt.cli.master import running_master
from emqx_mgmt.listeners.control import connect, process_of

OUTCOME = "reloaded.json"   # the master writes it into the data directory
POLL_S = 0.05


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
    while outcome(place) == before:
        wait(deadline, f"The broker (process {master}) has not read its settings within {within} s")
    complaints = json.loads(outcome(place))["complaints"]
    for complaint in complaints:
        click.echo(complaint, err=True)
    if complaints:
        sys.exit(os.EX_CONFIG)
    while worker_of(place) in (worker, 0) or Control(place).text("/health/ready")[0] != 200:
        wait(deadline, f"The new worker does not serve clients after {within} s: see emqx-mgmt status")
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


def wait(deadline: float, sentence: str) -> None:
    if time.monotonic() > deadline:
        fail(sentence)
    time.sleep(POLL_S)
