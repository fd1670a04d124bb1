"""`emqx-mgmt data`: backups."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import click

from emqx_mgmt.settings import SettingsError, load
from emqx_mgmt.settings.environment import CONFIG_VARIABLE
from emqx_mgmt.storage import DataDirError, DataDirLock
from emqx_mgmt.storage.backup import BackupError, export, put_in_place, stage
from emqx_mgmt.storage.data_dir import holder


def data_dir(config: str | None) -> Path:
    if config:
        os.environ[CONFIG_VARIABLE] = config
    try:
        return Path(load()["node.data_dir"])
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)


def export_to(file: str, config: str | None) -> None:
    place = data_dir(config)
    if not place.is_dir():
        click.echo(f"There is no data directory {place}", err=True)
        sys.exit(os.EX_NOINPUT)
    export(place, Path(file).absolute())


def import_from(file: str, config: str | None) -> None:
    place = data_dir(config)
    try:
        with Path(file).open("rb") as archive:
            stage(archive, place)
    except OSError as error:
        click.echo(f"{file}: {error.strerror}", err=True)
        sys.exit(os.EX_NOINPUT)
    except BackupError as error:
        click.echo(f"{file} {error}", err=True)
        sys.exit(os.EX_DATAERR)
    try:
        DataDirLock(place)
    except DataDirError as error:
        if error.code != os.EX_UNAVAILABLE:
            raise
        os.kill(holder(place), signal.SIGHUP)
        click.echo("The running broker starts a new worker with the backup.")
        return
    put_in_place(place, click.echo)
