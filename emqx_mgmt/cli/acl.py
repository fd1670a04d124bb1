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
    """Read the file of access rules again. Verdicts in the cache of a connection stay valid until acl_cache_ttl is
    over."""
    read = broker.call("POST", "acl", "reload")
    out.done(f"Read {read['rules']} rules from {read['file'] or 'the default rules: there is no file'}", **read)


@acl.command("clean")
@asks
def clean(broker: Control, out: Output) -> None:
    """Clear the caches of access verdicts, also those of authentication plugins."""
    broker.call("DELETE", "acl_cache")
    out.done("The caches of access verdicts were cleared")
