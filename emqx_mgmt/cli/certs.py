"""`emqx-mgmt certs`: the running broker's TLS files."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def certs() -> None:
    """Certificates of the running broker."""


@certs.command("list")
@asks
def list_certificates(broker: Control, out: Output) -> None:
    """Show the certificate of each TLS listener and when it expires."""
    out.table(broker.call("GET", "certificates"), "listener", "listen_on", "expires_at", "days_left", "certfile")


@certs.command("reload")
@asks
def reload(broker: Control, out: Output) -> None:
    """Read certificates, keys and revocation lists again. No client is disconnected."""
    broker.call("POST", "certificates", "reload")
    out.done("The broker has read its TLS files again.")
