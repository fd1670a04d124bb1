"""`emqx-mgmt clients`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output


@click.group()
def clients() -> None:
    """Clients that are connected."""


@clients.command("list")
@click.option("--username", help="Show only clients with this user name.")
@asks
def list_clients(broker: Control, out: Output, username: str | None) -> None:
    """Show all connected clients."""
    chosen = {} if username is None else {"username": username}
    out.table(broker.rows("connections", **chosen), "client_id", "username", "ipaddress", "port", "proto_ver",
              "clean_start", "keepalive", "connected_at")


@clients.command("show")
@click.argument("client_id")
@asks
def show(broker: Control, out: Output, client_id: str) -> None:
    """Show everything about the connection of CLIENT_ID."""
    found = broker.call("GET", "connections", client_id, query={"_fields": "extended"})
    if not found:
        fail(f"The client {client_id} is not connected")
    out.members(found[0])


@clients.command("kick")
@click.argument("client_id")
@asks
def kick(broker: Control, out: Output, client_id: str) -> None:
    """Disconnect CLIENT_ID; it may come back (see `banned`)."""
    if not broker.call("GET", "connections", client_id):
        fail(f"The client {client_id} is not connected")
    broker.call("DELETE", "connections", client_id)
    out.done(f"The client {client_id} was disconnected")
