"""`emqx-mgmt admins`: users of the dashboard."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output
from emqx_mgmt.cli.passwords import SEEN, password_of

ROLE = click.Choice(["viewer", "operator", "administrator"])


@click.group(help=f"Users of the running broker's dashboard.\n\n{SEEN}")
def admins() -> None:
    pass


@admins.command("list")
@asks
def list_admins(broker: Control, out: Output) -> None:
    """Show all users with their roles."""
    out.table(broker.call("GET", "users", query={"_fields": "extended"}), "username", "role", "tags")


@admins.command("add")
@click.argument("username")
@click.argument("password", required=False)
@click.argument("tags", default="")
@click.option("--role", type=ROLE, default="administrator", show_default=True, help="What the user may do.")
@asks
def add(broker: Control, out: Output, username: str, password: str | None, tags: str, role: str) -> None:
    """Make the user USERNAME."""
    broker.call("POST", "users", body={
        "username": username, "password": password_of(password), "tags": tags, "role": role})
    out.done(f"The user {username} was added")


@admins.command("passwd")
@click.argument("username")
@click.argument("password", required=False)
@asks
def passwd(broker: Control, out: Output, username: str, password: str | None) -> None:
    """Give USERNAME another password. The old password is not needed."""
    broker.call("PUT", "users", username, body={"password": password_of(password)})
    out.done(f"The password of {username} was changed")


@admins.command("del")
@click.argument("username")
@asks
def delete(broker: Control, out: Output, username: str) -> None:
    """Delete the user USERNAME."""
    broker.call("DELETE", "users", username)
    out.done(f"The user {username} was deleted")
