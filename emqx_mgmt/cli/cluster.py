"""`emqx-mgmt cluster`."""

from __future__ import annotations

import os
from typing import NoReturn

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output


@click.group()
def cluster() -> None:
    """The nodes that run together: this one, as long as there are no clusters."""


@cluster.command("status")
@asks
def status(broker: Control, out: Output) -> None:
    """Show the nodes that run."""
    out.table(broker.call("GET", "nodes"), "name", "node_status", "uptime", "connections", "version")


@cluster.command("join")
@click.argument("node")
def join(node: str) -> None:
    """Say that this broker cannot join NODE."""
    no_cluster()


@cluster.command("leave")
def leave() -> None:
    """Say that this broker has no cluster to leave."""
    no_cluster()


@cluster.command("force-leave")
@click.argument("node")
def force_leave(node: str) -> None:
    """Say that this broker has no cluster that NODE could be put out of."""
    no_cluster()


def no_cluster() -> NoReturn:
    fail("This broker runs as one node: this version has no clusters to join or leave", os.EX_UNAVAILABLE)
