"""The configuration of a command: --config, EMQX_CONFIG and the environment, read as the broker reads them."""

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
    """The settings. Where they have faults, the process prints a sentence for each and exits with 78."""
    from emqx_mgmt.settings import SettingsError, load

    use(config)
    try:
        return load()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)


def use(config: str | None) -> None:
    """Makes this process, and a broker that it starts, read the given file."""
    from emqx_mgmt.settings.environment import CONFIG_VARIABLE

    if config:
        os.environ[CONFIG_VARIABLE] = config


def data_dir_of(config: str | None, data_dir: str | None = None) -> Path:
    """The data directory, even where other settings have faults, so that a running broker can still be asked and
    stopped."""
    if data_dir:
        return Path(data_dir)
    from emqx_mgmt.settings import SettingsError, read

    use(config)
    try:
        return Path(read()["node.data_dir"])
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(os.EX_CONFIG)
