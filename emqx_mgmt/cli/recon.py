"""`emqx-mgmt recon`: figures of the plugin emqx_recon about the running process."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

ABSENT = "The plugin emqx_recon is not loaded: emqx-mgmt plugins load emqx_recon"


@click.group()
def recon() -> None:
    """Figures of the plugin emqx_recon about the running process."""


@recon.command("memory")
@asks
def memory(broker: Control, out: Output) -> None:
    """Show memory in bytes, and figures of the garbage collector."""
    out.members(broker.call("GET", "recon", "memory", absent=ABSENT))


@recon.command("gc")
@asks
def collect(broker: Control, out: Output) -> None:
    """Run the garbage collector now, which delays all clients for a moment."""
    out.members(broker.call("POST", "recon", "gc", absent=ABSENT) or {})


@recon.command("node-stats")
@asks
def node_stats(broker: Control, out: Output) -> None:
    """Show the delay of the event loop, and its load."""
    out.members(broker.call("GET", "recon", "node_stats", absent=ABSENT))


@recon.command("sessions")
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@asks
def sessions(broker: Control, out: Output, top: int) -> None:
    """Show the sessions with the most queued messages."""
    out.table(broker.call("GET", "recon", "sessions", absent=ABSENT, query={"top": top}), "client_id", "queued",
              "inflight", "subscriptions", "dropped")
