"""`emqx-mgmt listeners`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group(invoke_without_command=True)
@click.pass_context
def listeners(ctx: click.Context) -> None:
    """List the listeners; stop and start those of MQTT."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_listeners)


@listeners.command("list")
@asks
def list_listeners(broker: Control, out: Output) -> None:
    """Show all listeners. A stopped listener refuses new connections."""
    out.table(broker.call("GET", "listeners", query={"_fields": "extended"})[0]["listeners"], "identifier",
              "listen_on", "current_conns", "max_conns", "running", "shutdown_count")


def change(broker: Control, out: Output, identifier: str, verb: str, done: str) -> None:
    broker.call("PUT", "listeners", identifier, verb, absent=f"There is no listener {identifier}: see listeners list")
    out.done(f"The listener {identifier} was {done}")


@listeners.command("stop")
@click.argument("identifier")
@asks
def stop(broker: Control, out: Output, identifier: str) -> None:
    """Stop the MQTT listener IDENTIFIER (mqtt:tcp:external), until it is started again or the broker restarts or
    reloads. Its clients are disconnected."""
    change(broker, out, identifier, "stop", "stopped")


@listeners.command("start")
@click.argument("identifier")
@asks
def start(broker: Control, out: Output, identifier: str) -> None:
    """Start the MQTT listener IDENTIFIER that was stopped."""
    change(broker, out, identifier, "start", "started")


@listeners.command("restart")
@click.argument("identifier")
@asks
def restart(broker: Control, out: Output, identifier: str) -> None:
    """Disconnect all clients of the MQTT listener IDENTIFIER and accept connections again."""
    change(broker, out, identifier, "restart", "restarted")
