"""`emqx-mgmt broker`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

EXTENDED = click.option("--extended", is_flag=True, help="Also show those that EMQ X 3 does not have.")


@click.group(invoke_without_command=True)
@click.pass_context
def broker(ctx: click.Context) -> None:
    """The broker: version, uptime, statistics and counters."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(info)


@broker.command("info")
@asks
def info(broker: Control, out: Output) -> None:
    """Show version, uptime and time."""
    out.members(broker.call("GET", "brokers")[0])


@broker.command("stats")
@EXTENDED
@asks
def stats(broker: Control, out: Output, extended: bool) -> None:
    """Show the numbers of clients, sessions and subscriptions, and the highest value of each."""
    out.members(counted(broker, "stats", extended))


@broker.command("metrics")
@EXTENDED
@asks
def metrics(broker: Control, out: Output, extended: bool) -> None:
    """Show the counters of packets, messages and bytes since the start."""
    out.members(counted(broker, "metrics", extended))


def counted(broker: Control, what: str, extended: bool) -> dict[str, int]:
    query = {"_fields": "extended"} if extended else {}
    return dict(broker.call("GET", "nodes", broker.node, what, query=query))
