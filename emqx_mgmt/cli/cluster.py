"""`emqx-mgmt cluster`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def cluster() -> None:
    """The nodes that run together. A broker is one node: there are no commands to join or leave."""


@cluster.command("status")
@asks
def status(broker: Control, out: Output) -> None:
    """Show the nodes that run."""
    out.table(broker.call("GET", "nodes"), "name", "node_status", "uptime", "connections", "version")
