"""`emqx-mgmt plugins`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def plugins() -> None:
    """List the plugins of the running broker, load and unload them."""


@plugins.command("list")
@asks
def list_plugins(broker: Control, out: Output) -> None:
    """Show each plugin and whether it is loaded."""
    out.table(broker.call("GET", "nodes", broker.node, "plugins"), "name", "version", "active", "description")


def change(broker: Control, out: Output, plugin: str, what: str) -> None:
    broker.call("PUT", "nodes", broker.node, "plugins", plugin, what, absent=f"There is no plugin {plugin}")
    out.done(f"Plugin {plugin}: {what} done")


@plugins.command("load")
@click.argument("plugin")
@asks
def load(broker: Control, out: Output, plugin: str) -> None:
    """Load PLUGIN, also at further starts."""
    change(broker, out, plugin, "load")


@plugins.command("unload")
@click.argument("plugin")
@asks
def unload(broker: Control, out: Output, plugin: str) -> None:
    """Unload PLUGIN, also at further starts."""
    change(broker, out, plugin, "unload")


@plugins.command("reload")
@click.argument("plugin")
@asks
def reload(broker: Control, out: Output, plugin: str) -> None:
    """Read the settings of PLUGIN again and restart it."""
    change(broker, out, plugin, "reload")
