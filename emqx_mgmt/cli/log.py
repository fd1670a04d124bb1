"""`emqx-mgmt log`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

LEVEL = click.Choice(["debug", "info", "warning", "error"])
# The key of log.level in `GET /configs/`.
PRIMARY = "log.console.level"


@click.group()
def log() -> None:
    """Show and change how much the running broker logs."""


@log.command("levels")
@asks
def levels(broker: Control, out: Output) -> None:
    """Show the level of each component; `set` marks a level of its own."""
    out.table(broker.call("GET", "log", "levels"), "component", "level", "set")


@log.command("set-level")
@click.argument("component")
@click.argument("level", type=LEVEL)
@asks
def set_level(broker: Control, out: Output, component: str, level: str) -> None:
    """Set the level of COMPONENT; it is kept over restarts."""
    broker.call("PUT", "log", "levels", component, absent=f"There is no component {component}", body={"level": level})
    out.done(f"{component} {level}")


@log.command("reset-level")
@click.argument("component")
@asks
def reset_level(broker: Control, out: Output, component: str) -> None:
    """Remove the level that `set-level` has set."""
    broker.call("DELETE", "log", "levels", component, absent=f"There is no component {component}")
    out.done(f"{component}: as configured")


@log.command("primary-level")
@click.argument("level", type=LEVEL, required=False)
@asks
def primary_level(broker: Control, out: Output, level: str | None) -> None:
    """Show the level of all components that have none of their own, or set it to LEVEL; it is kept over restarts."""
    if level is not None:
        broker.call("PUT", "configs", "emqx", body={"key": PRIMARY, "value": level})
    rows = broker.call("GET", "configs")[0]["config"]
    level = next(row["value"] for row in rows if row["key"] == PRIMARY)
    out.done(level, level=level)
