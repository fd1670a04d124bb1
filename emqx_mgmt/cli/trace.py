"""`emqx-mgmt trace`: events of the messages of a topic or a client."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output, json_text, shown

SUBJECT = click.argument("subject", type=click.Choice(["client", "topic"]))
LONGEST = 3600  # seconds, of a trace over REST
MEMBER = {"client": "client_id", "topic": "topic"}


@click.group()
def trace() -> None:
    """Follow the messages of a client or of a topic through the broker."""


@trace.command("list")
@asks
def list_traces(broker: Control, out: Output) -> None:
    """Show the running traces, begun over REST or on the command line."""
    out.table(broker.call("GET", "traces"), "id", "client_id", "topic", "owner", "started_at")


@trace.command("start")
@SUBJECT
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--seconds", type=click.IntRange(1, LONGEST),
              help="The trace ends after this time: 60, or with FILE 3600.")
@asks
def start(broker: Control, out: Output, subject: str, name: str, file: Path | None, seconds: int | None) -> None:
    """Write each event of the client or topic filter NAME to FILE, one in each line, until the time is over or `trace
    stop` ends the trace. The command returns at once. Without FILE, it prints the events until Ctrl-C."""
    seconds = seconds or (60 if file is None else LONGEST)
    events = broker.events("trace", **{MEMBER[subject]: name}, seconds=seconds, max_bytes=1 << 30)
    if file is None:
        with suppress(KeyboardInterrupt):
            write(events, sys.stdout, out.as_json)
        return
    try:
        opened = file.open("w", encoding="utf-8")
    except OSError as error:
        fail(f"{shown(file)} cannot be written: {error.strerror}")
    if in_background():
        write(events, opened, out.as_json)
        os._exit(0)
    out.done(f"The {subject} {shown(name)} is traced to {shown(file)}, for {seconds} seconds", seconds=seconds)


def write(events: Iterator[tuple[str, dict[str, Any]]], file: IO[str], as_json: bool) -> None:
    for kind, members in events:
        file.write(line(kind, members, as_json) + "\n")
        file.flush()


def in_background() -> bool:
    """True in a new process, which the end of the command, of its shell and of its terminal does not end."""
    if os.fork():
        return False
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in 0, 1, 2:
        os.dup2(nowhere, descriptor)
    return True


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
    out.done(f"The {subject} {shown(name)} is no longer traced", ended=len(running))


def line(kind: str, members: dict[str, Any], as_json: bool) -> str:
    if as_json:
        return json_text({"event": kind} | members)
    at = datetime.fromtimestamp(members.pop("ts")).isoformat(timespec="milliseconds")
    members.pop("node", None)
    return " ".join([at, kind, *(f"{name}={shown(value)}" for name, value in members.items())])
