"""The configuration that a command is told by --config, EMQX_CONFIG and the environment, as the broker reads it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from emqx_mgmt.settings import Settings

CONFIG = click.option("--config", type=click.Path(exists=True, dir_okay=False),
                      help="The configuration file.  [default: $EMQX_CONFIG, else etc/emqx.conf]")
DATA_DIR = click.option("--data-dir", type=click.Path(file_okay=False),
                        help="The running broker's data directory.  [default: node.data_dir of the configuration]")


def settings_of(config: str | None) -> Settings:
    """Ends the process with 78 and a sentence for each fault where they are not right."""
    from emqx_mgmt.settings import SettingsError, load

    use(config)
    try:
        return load()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)


def use(config: str | None) -> None:
    """The file that this process, and a broker that it starts, reads."""
    from emqx_mgmt.settings.environment import CONFIG_VARIABLE

    if config:
        os.environ[CONFIG_VARIABLE] = config


def data_dir_of(config: str | None, data_dir: str | None = None) -> Path:
    """Whatever else is wrong with the configuration: a broker that runs can be asked and stopped all the same."""
    if data_dir:
        return Path(data_dir)
    from emqx_mgmt.settings import SettingsError, read

    use(config)
    try:
        return Path(read()["node.data_dir"])
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
