"""`emqx-mgmt users`, and the same for client ids: the tables of plugins that verify passwords."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks
from emqx_mgmt.cli.output import Output
from emqx_mgmt.cli.passwords import SEEN, password_of


def password_table(command: str, plugin: str, member: str, what: str) -> click.Group:
    """The commands for the table of a plugin. Its REST path is the plugin's name without `emqx_`; `member` is the key
    of a row."""
    path, absent = plugin.removeprefix("emqx_"), f"The plugin {plugin} is not loaded: emqx-mgmt plugins load {plugin}"
    name_argument = click.argument("name", metavar=member.upper())
    password_argument = click.argument("password", required=False)

    @click.group(command, help=f"{what}s that {plugin} accepts with a password.\n\n{SEEN}")
    def group() -> None:
        pass

    @group.command("list", help=f"Show all {member}s, without their passwords.")
    @asks
    def list_names(broker: Control, out: Output) -> None:
        out.listing(broker.call("GET", path, absent=absent))

    @group.command("add", help=f"Accept {member.upper()} with a password.")
    @name_argument
    @password_argument
    @asks
    def add(broker: Control, out: Output, name: str, password: str | None) -> None:
        broker.call("POST", path, absent=absent, body={member: name, "password": password_of(password)})
        out.done(f"{what} {name} was added")

    @group.command("update", help=f"Give {member.upper()} another password.")
    @name_argument
    @password_argument
    @asks
    def update(broker: Control, out: Output, name: str, password: str | None) -> None:
        broker.call("PUT", path, name, absent=absent, body={"password": password_of(password)})
        out.done(f"The password of {name} was changed")

    @group.command("del", help=f"Forget {member.upper()}.")
    @name_argument
    @asks
    def delete(broker: Control, out: Output, name: str) -> None:
        broker.call("DELETE", path, name, absent=absent)
        out.done(f"{what} {name} was deleted")

    return group


users = password_table("users", "emqx_auth_username", "username", "User name")
