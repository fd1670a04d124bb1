"""`emqx-mgmt defaults`: configuration files to begin with."""

from __future__ import annotations

import click

from emqx_mgmt.plugins.catalogue import Catalogue
from emqx_mgmt.settings.sample import plugin_sample, sample


def print_defaults(plugin: str | None) -> None:
    if plugin is None:
        click.echo(sample(), nl=False)
        return
    found = Catalogue().get(plugin)
    if found is None:
        raise click.UsageError(f"There is no plugin {plugin}")
    click.echo(plugin_sample(found.name, found.description, found.settings), nl=False)
