"""`emqx-mgmt certs`: the running broker's TLS files."""

from __future__ import annotations

import os
import signal
import sys

import click

from emqx_mgmt.cli.data import data_dir
from emqx_mgmt.storage import DataDirError, DataDirLock


def reload(config: str | None) -> None:
    place = data_dir(config)
    try:
        if place.is_dir():
            DataDirLock(place)
    except DataDirError as error:
        if error.code != os.EX_UNAVAILABLE:
            raise
        os.kill(int((place / "lock").read_text()), signal.SIGUSR1)
        click.echo("The broker reads its TLS files again; its log says with what result.")
        return
    click.echo(f"No broker is running with the data directory {place}", err=True)
    sys.exit(os.EX_UNAVAILABLE)
