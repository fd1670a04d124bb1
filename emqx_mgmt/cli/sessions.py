"""`emqx-mgmt sessions`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output


@click.group()
def sessions() -> None:
    """Sessions, of connected clients and of others."""


@sessions.command("list")
@asks
def list_sessions(broker: Control, out: Output) -> None:
    """Show all sessions."""
    out.table(broker.rows("sessions"), "client_id", "username", "clean_start", "expiry_interval",
              "subscriptions_count", "inflight_len", "mqueue_len", "mqueue_dropped", "created_at")


@sessions.command("show")
@click.argument("client_id")
@asks
def show(broker: Control, out: Output, client_id: str) -> None:
    """Show everything about the session of CLIENT_ID."""
    found = broker.call("GET", "sessions", client_id, query={"_fields": "extended"})
    if not found:
        fail(f"The client {client_id} has no session")
    out.members(found[0])


@sessions.command("messages")
@click.argument("client_id")
@asks
def messages(broker: Control, out: Output, client_id: str) -> None:
    """Show the messages that are queued for CLIENT_ID, without their payloads."""
    out.table(broker.rows("sessions", client_id, "messages"), "topic", "qos", "client_id", "payload_size",
              "published_at")


@sessions.command("delete")
@click.argument("client_id")
@asks
def delete(broker: Control, out: Output, client_id: str) -> None:
    """Delete the session of CLIENT_ID with its queue. The client must not be connected."""
    broker.call("DELETE", "sessions", "persistent", client_id)
    out.done(f"The session of {client_id} was deleted")
