"""`emqx-mgmt recon`: what the plugin emqx_recon finds out about the running process."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

ABSENT = "The plugin emqx_recon is not loaded: emqx-mgmt plugins load emqx_recon"


@click.group()
def recon() -> None:
    """What the plugin emqx_recon finds out about the running process."""


@recon.command("memory")
@asks
def memory(broker: Control, out: Output) -> None:
    """Show memory in bytes, and what the garbage collector has done."""
    out.members(broker.call("GET", "recon", "memory", absent=ABSENT))


@recon.command("gc")
@asks
def collect(broker: Control, out: Output) -> None:
    """Collect garbage now, which holds up all clients for a moment."""
    out.members(broker.call("POST", "recon", "gc", absent=ABSENT) or {})


@recon.command("node-stats")
@asks
def node_stats(broker: Control, out: Output) -> None:
    """Show how late the event loop is, and what it has to do."""
    out.members(broker.call("GET", "recon", "node_stats", absent=ABSENT))


@recon.command("sessions")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@asks
def sessions(broker: Control, out: Output, top: int) -> None:
    """Show the sessions in which the most messages wait."""
    out.table(broker.call("GET", "recon", "sessions", absent=ABSENT, query={"top": top}), "client_id", "queued",
              "inflight", "subscriptions", "dropped")
