"""`emqx-mgmt data`: backups."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sqlite3
import sys
import time
from pathlib import Path

import click

from emqx_mgmt.cli.configured import CONFIG, data_dir_of, settings_of
from emqx_mgmt.storage import DataDirError, DataDirLock
from emqx_mgmt.storage.audit import Change
from emqx_mgmt.storage.backup import BackupError, export, stage, try_to_put_in_place
from emqx_mgmt.storage.data_dir import holder


@click.group()
def data() -> None:
    """Back up and restore all durable state."""


@data.command("export")
@click.argument("file", type=click.Path(dir_okay=False))
@CONFIG
def export_data(file: str, config: str | None) -> None:
    """Write a backup to FILE; the broker may be running."""
    try:
        export_to(file, config)
    except DataDirError as error:
        click.echo(str(error), err=True)
        sys.exit(error.code)


@data.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@CONFIG
def import_data(file: str, config: str | None) -> None:
    """Replace all durable state with the backup in FILE. A running broker starts a new worker with it."""
    import_from(file, config)


def export_to(file: str, config: str | None) -> None:
    place = data_dir_of(config)
    if not place.is_dir():
        click.echo(f"There is no data directory {place}", err=True)
        sys.exit(os.EX_NOINPUT)
    try:
        export(place, Path(file).absolute())
    except OSError as error:
        click.echo(f"{file}: {error.strerror}", err=True)
        sys.exit(os.EX_CANTCREAT)
    except sqlite3.Error as error:
        click.echo(f"The stores in {place} cannot be copied: {error}", err=True)
        sys.exit(os.EX_OSERR)


def import_from(file: str, config: str | None) -> None:
    settings = settings_of(config)
    place = Path(settings["node.data_dir"])
    try:
        archive = Path(file).open("rb")  # noqa: SIM115 -- closed at the end of the process
    except OSError as error:
        click.echo(f"{file}: {error.strerror}", err=True)
        sys.exit(os.EX_NOINPUT)
    try:
        stage(archive, place, change(file) if settings["management.audit_records"] else None)
        restart_or_put_in_place(place)
    except BackupError as error:
        click.echo(f"{file} {error}", err=True)
        sys.exit(os.EX_DATAERR)
    except DataDirError as error:
        click.echo(f"{file} is not imported: {error}", err=True)
        sys.exit(error.code)
    except OSError as error:
        click.echo(f"{file} is not imported into {place}: {error.strerror}", err=True)
        sys.exit(os.EX_OSERR)


def change(file: str) -> Change:
    """The row for the audit record, the same as over REST."""
    who = pwd.getpwuid(os.getuid()).pw_name
    return Change(int(time.time()), who, "local", "local", "import_data", "POST", "/api/v3/data/import",
                  json.dumps({"file": file}), 200, "ok")


def restart_or_put_in_place(place: Path) -> None:
    """Restarts the running broker, or where none runs puts the import in place. Raises DataDirError."""
    try:
        DataDirLock(place)
    except DataDirError as error:
        if error.code != os.EX_UNAVAILABLE:
            raise
        os.kill(holder(place), signal.SIGHUP)
        click.echo("The running broker starts a new worker with the backup.")
        return
    if not try_to_put_in_place(place, click.echo):
        raise DataDirError("a worker of a broker that has ended still uses the stores; the next start does it",
                           os.EX_UNAVAILABLE)
