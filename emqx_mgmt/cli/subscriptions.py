"""`emqx-mgmt subscriptions`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output

COLUMNS = ("client_id", "topic", "qos")


@click.group()
def subscriptions() -> None:
    """Subscriptions, of connected clients and of others."""


@subscriptions.command("list")
@asks
def list_subscriptions(broker: Control, out: Output) -> None:
    """Show all subscriptions."""
    out.table(broker.rows("subscriptions"), *COLUMNS)


@subscriptions.command("show")
@click.argument("client_id")
@asks
def show(broker: Control, out: Output, client_id: str) -> None:
    """Show the subscriptions of CLIENT_ID."""
    out.table(broker.call("GET", "subscriptions", client_id), *COLUMNS)


@subscriptions.command("add")
@click.argument("client_id")
@click.argument("topic")
@click.argument("qos", type=click.IntRange(0, 2))
@asks
def add(broker: Control, out: Output, client_id: str, topic: str, qos: int) -> None:
    """Subscribe CLIENT_ID, which has a session, to TOPIC with QOS."""
    broker.call("POST", "mqtt", "subscribe", body={"client_id": client_id, "topic": topic, "qos": qos})
    out.done(f"{client_id} -> {topic}")


@subscriptions.command("del")
@click.argument("client_id")
@click.argument("topic")
@asks
def delete(broker: Control, out: Output, client_id: str, topic: str) -> None:
    """End the subscription of CLIENT_ID to TOPIC."""
    held = broker.call("GET", "subscriptions", client_id)
    if topic not in [row["topic"] for row in held]:
        fail(f"The client {client_id} has no subscription to {topic}")
    broker.call("POST", "mqtt", "unsubscribe", body={"client_id": client_id, "topic": topic})
    out.done(f"{client_id} -> {topic} was ended")
