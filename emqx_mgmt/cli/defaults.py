"""`emqx-mgmt defaults`: configuration files with all defaults."""

from __future__ import annotations

import click


@click.command()
@click.option("--plugin", help="Print the file of a plugin, etc/plugins/PLUGIN.conf, instead of etc/emqx.conf.")
def defaults(plugin: str | None) -> None:
    """Print a configuration file with every key, its meaning and its default."""
    from emqx_mgmt.settings.sample import plugin_sample, sample

    if plugin is None:
        click.echo(sample(), nl=False)
        return
    from emqx_mgmt.plugins.catalogue import Catalogue

    found = Catalogue().get(plugin)
    if found is None:
        raise click.UsageError(f"There is no plugin {plugin}")
    click.echo(plugin_sample(found.name, found.description, found.settings), nl=False)
