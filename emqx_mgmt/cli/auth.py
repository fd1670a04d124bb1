"""`emqx-mgmt auth`: back-ends that decide about clients."""

from __future__ import annotations

import sys

import click

from emqx_mgmt.cli.control import REFUSED, Control, asks
from emqx_mgmt.cli.output import Output


@click.group()
def auth() -> None:
    """Back-ends that decide about clients."""


@auth.command("test")
@click.argument("plugin")
@click.option("--client-id", default="emqx-mgmt", show_default=True, help="The client id that the client would have.")
@click.option("--username", help="The user name that the client would have.")
@click.option("--password", help="The password; - reads it from standard input, since other users of this machine can "
              "see the command line.")
@click.option("--topic", help="A topic for which access is tested as well.")
@click.option("--access", type=click.Choice(["publish", "subscribe"]), default="publish", show_default=True,
              help="What the client would do with the topic.")
@asks
def test(broker: Control, out: Output, plugin: str, password: str | None, **asked: str | None) -> None:
    """Say whether PLUGIN would accept a client, and by which rule the client may use a topic. No client connects. The
    exit code is 1 where PLUGIN would refuse."""
    if password == "-":
        password = sys.stdin.readline().rstrip("\r\n")
    given = {name: value for name, value in (asked | {"password": password}).items() if value is not None}
    said = broker.call("POST", "plugins", plugin, "test", body=given)
    if out.as_json:
        out.members(said)
    else:
        click.echo(f"log-in: {said['verdict']}" + (" (super user)" if said["is_superuser"] else "")
                   + (f": {said['reason']}" if said["reason"] else "") + f", {said['ms']} ms")
        if said["acl"] is not None:
            rule = f", {said['rule']}" if said["rule"] else ""
            click.echo(f"{asked['access']} to {asked['topic']}: {said['acl']}{rule}")
    if said["verdict"] != "allow" or said["acl"] not in (None, "allow"):
        sys.exit(REFUSED)
