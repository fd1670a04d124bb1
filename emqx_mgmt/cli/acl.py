"""`emqx-mgmt acl`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def acl() -> None:
    """Access rules of the running broker."""


@acl.command("reload")
@asks
def reload(broker: Control, out: Output) -> None:
    """Read the file of access rules again. Verdicts that a connection remembers count until they expire
    (acl_cache_ttl)."""
    read = broker.call("POST", "acl", "reload")
    out.done(f"Read {read['rules']} rules from {read['file'] or 'those that are shipped: there is no file'}", **read)


@acl.command("clean")
@asks
def clean(broker: Control, out: Output) -> None:
    """Forget what is remembered of access rules, also in the authentication plugins: clients are asked about anew."""
    broker.call("DELETE", "acl_cache")
    out.done("What was remembered of access rules is forgotten")
