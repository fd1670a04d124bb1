"""`emqx-mgmt topics`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

MOST = 10_000   # recipients shown


@click.group()
def topics() -> None:
    """Topics and the recipients of their messages."""


@topics.command("list")
@asks
def list_topics(broker: Control, out: Output) -> None:
    """Show the topic filters with subscribers."""
    out.listing(row["topic"] for row in broker.rows("routes"))


@topics.command("show")
@click.argument("topic")
@click.option("--from", "publisher", help="The client id of a connected publisher.")
@asks
def show(broker: Control, out: Output, topic: str, publisher: str | None) -> None:
    """Show the recipients that a message to TOPIC would have. No message is sent."""
    chosen = {} if publisher is None else {"client_id": publisher}
    found = broker.call("GET", "explain", query={"topic": topic, "limit": MOST} | chosen)
    if out.as_json:
        out.members(found)
        return
    out.table(found["recipients"], "client_id", "filters", "group", "outcome", "reason")
