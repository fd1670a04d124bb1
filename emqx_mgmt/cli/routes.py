"""`emqx-mgmt routes`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def routes() -> None:
    """Routes: the topic filters with subscribers, and their node."""


@routes.command("list")
@asks
def list_routes(broker: Control, out: Output) -> None:
    """Show all routes."""
    out.table(broker.rows("routes"), "topic", "node")


@routes.command("show")
@click.argument("topic")
@asks
def show(broker: Control, out: Output, topic: str) -> None:
    """Show the routes whose topic filter is exactly TOPIC."""
    out.table(broker.call("GET", "routes", topic), "topic", "node")
