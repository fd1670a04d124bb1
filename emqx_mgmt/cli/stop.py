"""`emqx-mgmt stop`."""

from __future__ import annotations

import os
import signal
import time

import click

from emqx_mgmt.cli.configured import CONFIG, DATA_DIR, data_dir_of
from emqx_mgmt.cli.master import running_master, wait_until


@click.command()
@click.option("--within", type=click.IntRange(0), default=60, show_default=True, metavar="SECONDS",
              help="How long to wait for the broker to end.")
@DATA_DIR
@CONFIG
def stop(config: str | None, data_dir: str | None, within: int) -> None:
    """Stop the running broker gracefully, and return once it has ended. The exit code is 1 where it has not ended in
    time."""
    place = data_dir_of(config, data_dir)
    master = running_master(place)
    os.kill(master, signal.SIGTERM)
    wait_until(lambda: running_master(place, required=False) != master, time.monotonic() + within,
               f"The broker (process {master}) has not ended within {within} s")
    click.echo("The broker has ended.")
