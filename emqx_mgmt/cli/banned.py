"""`emqx-mgmt banned`."""

from __future__ import annotations

import time

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output

KIND = click.argument("kind", type=click.Choice(["client_id", "username", "ip_address"]))


@click.group()
def banned() -> None:
    """Clients that may not connect, by client id, user name or address."""


@banned.command("list")
@asks
def list_banned(broker: Control, out: Output) -> None:
    """Show all bans; `until` is in unix seconds."""
    out.table(broker.rows("banned"), "as", "who", "until", "by", "reason")


@banned.command("add")
@KIND
@click.argument("who")
@click.option("--for", "seconds", type=click.IntRange(1), help="The ban's length in seconds.  [default: for ever]")
@click.option("--reason", default="", help="The reason, which the list shows.")
@asks
def add(broker: Control, out: Output, kind: str, who: str, seconds: int | None, reason: str) -> None:
    """Refuse connections of WHO, which is a KIND. A client that is connected stays connected: see `clients kick`."""
    until = {} if seconds is None else {"until": int(time.time()) + seconds}
    why = {"reason": reason} if reason else {}
    broker.call("POST", "banned", body={"as": kind, "who": who, "by": "emqx-mgmt"} | why | until)
    out.done(f"{kind} {who} is banned")


@banned.command("del")
@KIND
@click.argument("who")
@asks
def delete(broker: Control, out: Output, kind: str, who: str) -> None:
    """Remove the ban of WHO."""
    broker.call("DELETE", "banned", who, body={"as": kind})
    out.done(f"{kind} {who} is not banned")
