"""`emqx-mgmt defaults`: configuration files to begin with."""

from __future__ import annotations

import os
import sys

import click

from emqx_mgmt.plugins.catalogue import Catalogue
from emqx_mgmt.settings.sample import plugin_sample, sample


def print_defaults(plugin: str | None) -> None:
    if plugin is None:
        click.echo(sample(), nl=False)
        return
    found = Catalogue().get(plugin)
    if found is None:
        click.echo(f"There is no plugin {plugin}", err=True)
        sys.exit(os.EX_USAGE)
    click.echo(plugin_sample(found.name, found.description, found.settings), nl=False)
