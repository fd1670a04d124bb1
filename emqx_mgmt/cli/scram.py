"""`emqx-mgmt scram`: users of MQTT 5's SCRAM-SHA-256."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output
from emqx_mgmt.cli.passwords import SEEN, password_of

SUPER = click.option("--superuser", is_flag=True, help="Access rules do not apply to this user.")


@click.group(help=f"Users of MQTT 5's enhanced authentication with SCRAM-SHA-256.\n\n{SEEN}")
def scram() -> None:
    pass


@scram.command("list")
@asks
def list_users(broker: Control, out: Output) -> None:
    """Show all users, without the verifiers of their passwords."""
    out.table(broker.call("GET", "scram_users"), "username", "is_superuser")


@scram.command("add")
@click.argument("username")
@click.argument("password", required=False)
@SUPER
@asks
def add(broker: Control, out: Output, username: str, password: str | None, superuser: bool) -> None:
    """Make the user USERNAME."""
    broker.call("POST", "scram_users", body={
        "username": username, "password": password_of(password), "is_superuser": superuser})
    out.done(f"The user {username} was added")


@scram.command("update")
@click.argument("username")
@click.argument("password", required=False)
@SUPER
@asks
def update(broker: Control, out: Output, username: str, password: str | None, superuser: bool) -> None:
    """Give USERNAME another password. Without --superuser, the user is no super user afterwards."""
    broker.call("PUT", "scram_users", username, body={"password": password_of(password), "is_superuser": superuser})
    out.done(f"The password of {username} was changed")


@scram.command("del")
@click.argument("username")
@asks
def delete(broker: Control, out: Output, username: str) -> None:
    """Delete the user USERNAME."""
    broker.call("DELETE", "scram_users", username)
    out.done(f"The user {username} was deleted")
