"""`emqx-mgmt trace`: what becomes of the messages of a topic or of a client."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import IO, Any

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output, json_text, shown

SUBJECT = click.argument("subject", type=click.Choice(["client", "topic"]))
MEMBER = {"client": "client_id", "topic": "topic"}


@click.group()
def trace() -> None:
    """Follow the messages of a client or of a topic through the broker."""


@trace.command("list")
@asks
def list_traces(broker: Control, out: Output) -> None:
    """Show the traces that run, over REST or on the command line."""
    out.table(broker.call("GET", "traces"), "id", "client_id", "topic", "owner", "started_at")


@trace.command("start")
@SUBJECT
@click.argument("name")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@click.option("--seconds", type=click.IntRange(1, 3600), default=60, show_default=True, help="It ends after these.")
@asks
def start(broker: Control, out: Output, subject: str, name: str, file: IO[str], seconds: int) -> None:
    """Write each event of the client or topic filter NAME to FILE as it happens, an event a line, until the time is
    over, Ctrl-C, or `trace stop`."""
    events = broker.events("trace", **{MEMBER[subject]: name}, seconds=seconds, max_bytes=1 << 30)
    try:
        for kind, members in events:
            file.write(line(kind, members, out.as_json) + "\n")
            file.flush()
    except KeyboardInterrupt:
        sys.exit(0)


@trace.command("stop")
@SUBJECT
@click.argument("name")
@asks
def stop(broker: Control, out: Output, subject: str, name: str) -> None:
    """End the traces of the client or topic filter NAME."""
    running = [row["id"] for row in broker.call("GET", "traces") if row[MEMBER[subject]] == name]
    if not running:
        fail(f"There is no trace of the {subject} {name}")
    for trace_id in running:
        broker.call("DELETE", "traces", trace_id)
    out.done(f"Ended {len(running)} traces of the {subject} {name}", ended=len(running))


def line(kind: str, members: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json_text({"event": kind} | members)
    at = datetime.fromtimestamp(members.pop("ts")).isoformat(timespec="milliseconds")
    members.pop("node", None)
    return " ".join([at, kind, *(f"{name}={shown(value)}" for name, value in members.items())])
