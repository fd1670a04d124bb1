"""`emqx-mgmt config`."""

from __future__ import annotations

from typing import Any

import click

from emqx_mgmt.cli.configured import CONFIG, DATA_DIR, data_dir_of, settings_of
from emqx_mgmt.cli.control import Control
from emqx_mgmt.cli.output import JSON, Output


@click.group()
def config() -> None:
    """Settings and where they come from."""


@config.command("show")
@click.argument("prefixes", metavar="[PREFIX]...", nargs=-1)
@click.option("--origin", is_flag=True, help="Show the origin of each value: file and line, a variable of the "
              "environment, REST, or the default.")
@click.option("--files", is_flag=True, help="Show the settings that a start would read now, also while a broker runs.")
@JSON
@DATA_DIR
@CONFIG
def show(config: str | None, data_dir: str | None, as_json: bool, files: bool, origin: bool,
         prefixes: tuple[str, ...]) -> None:
    """Show the settings whose keys begin with a PREFIX, or all of them. They are the settings in effect of the running
    broker; where none runs, those that a start would read. Secrets are masked."""
    place = data_dir_of(config, data_dir)
    if files or not Control.runs(place):
        rows = of_files(config)
        if not files:
            click.echo(f"No broker runs with the data directory {place}: these are the settings of the next start.",
                       err=True)
    else:
        rows = Control(place).call("GET", "settings")
    chosen = [row for row in rows if row["key"].startswith(prefixes or "")]
    if as_json:
        Output(as_json).table(chosen)
        return
    for row in chosen:
        click.echo(f"{row['key']} = {row['value']}".rstrip() + (f"    # {row['origin']}" if origin else ""))


def of_files(config: str | None) -> list[dict[str, Any]]:
    from msgspec import to_builtins

    from emqx_mgmt.settings.in_effect import in_effect

    return list(to_builtins(in_effect(settings_of(config))))
