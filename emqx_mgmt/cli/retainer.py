"""`emqx-mgmt retainer`: retained messages."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

PLUGIN = "emqx_retainer"


@click.group()
def retainer() -> None:
    """Retained messages."""


@retainer.command("info")
@asks
def info(broker: Control, out: Output) -> None:
    """Show the number of retained messages, and the plugin's settings."""
    stats = broker.call("GET", "nodes", broker.node, "stats")
    settings = broker.call("GET", "nodes", broker.node, "plugin_configs", PLUGIN)
    out.members({"retained/count": stats["retained/count"], "retained/max": stats["retained/max"],
                 **{row["key"]: row["value"] for row in settings}})


@retainer.command("topics")
@asks
def topics(broker: Control, out: Output) -> None:
    """Show the topics that have a retained message."""
    out.listing(row["topic"] for row in broker.rows("retained"))


@retainer.command("clean")
@click.argument("topic", required=False)
@click.option("--yes", is_flag=True, help="Do not ask before removing all.")
@asks
def clean(broker: Control, out: Output, topic: str | None, yes: bool) -> None:
    """Remove the retained messages that the topic filter TOPIC matches; without TOPIC, all except the broker's own
    below $SYS."""
    if topic is None and not yes:
        click.confirm("Remove all retained messages?", abort=True, err=True)
    deleted = broker.call("DELETE", "retained", query={"_match_topic": topic or "#"})["deleted"]
    out.done(f"Removed {deleted} retained messages", deleted=deleted)
