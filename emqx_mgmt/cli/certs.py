"""`emqx-mgmt certs`: the running broker's TLS files."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control


def reload(control: Control) -> None:
    control.call("POST", "certificates", "reload")
    click.echo("The broker has read its TLS files again.")
