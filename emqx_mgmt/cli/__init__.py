"""The command line, `emqx-mgmt`."""

from __future__ import annotations

import click

from emqx_mgmt.cli.commands import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="emqx-mgmt", message="%(package)s %(version)s")
def main() -> None:
    """An MQTT broker with the EMQ X 3.0 management API.

    `start` runs the broker in the foreground. Most other commands ask the broker that runs on this machine, over a
    socket in its data directory, as root or as the broker's own user.
    """
