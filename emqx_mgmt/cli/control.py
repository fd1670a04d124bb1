"""Commands to the broker that runs in this machine's data directory: the management API over its control socket."""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import orjson

from emqx_mgmt.listeners.control import connect

API = "/api/v3"


class Control(http.client.HTTPConnection):
    """`data_dir` is the running broker's."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._data_dir = data_dir

    def connect(self) -> None:
        try:
            self.sock = connect(self._data_dir)
        except PermissionError:
            click.echo(f"Only root and the user that the broker runs as may use {self._data_dir}", err=True)
            sys.exit(os.EX_NOPERM)
        except OSError:
            click.echo(f"No broker runs with the data directory {self._data_dir}", err=True)
            sys.exit(os.EX_UNAVAILABLE)

    def call(self, method: str, *path: str, **params: Any) -> Any:
        """The data of the answer. Ends the process with 1 and the broker's words when it refuses."""
        url = "/".join([API, *(quote(part, safe="") for part in path)])
        try:
            self.request(method, f"{url}?_style=envelope", orjson.dumps(params))
            answer = self.getresponse()
            body = answer.read()
        except (http.client.HTTPException, OSError) as error:
            click.echo(f"The broker did not answer: {error or type(error).__name__}", err=True)
            sys.exit(os.EX_UNAVAILABLE)
        if answer.status != 200:
            click.echo(body.decode(errors="replace"), err=True)
            sys.exit(1)
        result = orjson.loads(body)
        if result["code"]:
            click.echo(result.get("message", f"code {result['code']}"), err=True)
            sys.exit(1)
        return result.get("data")


def node_of(control: Control) -> str:
    return str(control.call("GET", "nodes")[0]["name"])


def list_plugins(control: Control) -> None:
    for row in control.call("GET", "nodes", node_of(control), "plugins"):
        click.echo(f"Plugin({row['name']}, version={row['version']}, description={row['description']}, "
                   f"active={str(row['active']).lower()})")


def change_plugin(control: Control, plugin: str, what: str) -> None:
    control.call("PUT", "nodes", node_of(control), "plugins", plugin, what)
    click.echo(f"Plugin {plugin}: {what} done")


def try_client(control: Control, plugin: str, password: str | None, **asked: str | None) -> None:
    """Ends the process with 1 where the client would not be let in, or may not do what was asked."""
    if password == "-":
        password = sys.stdin.readline().rstrip("\r\n")
    given = {name: value for name, value in (asked | {"password": password}).items() if value is not None}
    said = control.call("POST", "plugins", plugin, "test", **given)
    click.echo(f"log-in: {said['verdict']}" + (" (super user)" if said["is_superuser"] else "")
               + (f": {said['reason']}" if said["reason"] else "") + f", {said['ms']} ms")
    if said["acl"] is not None:
        rule = f", {said['rule']}" if said["rule"] else ""
        click.echo(f"{asked['access']} to {asked['topic']}: {said['acl']}{rule}")
    if said["verdict"] != "allow" or said["acl"] not in (None, "allow"):
        sys.exit(1)


def list_levels(control: Control) -> None:
    for row in control.call("GET", "log", "levels"):
        click.echo(f"{row['component']} {row['level']}" + (" (set)" if row["set"] else ""))


def set_level(control: Control, component: str, level: str) -> None:
    control.call("PUT", "log", "levels", component, level=level)
    click.echo(f"{component} {level}")


def reset_level(control: Control, component: str) -> None:
    control.call("DELETE", "log", "levels", component)
    click.echo(f"{component}: as configured")


def rotate_secret(control: Control, app_id: str, overlap: int) -> None:
    secret = control.call("POST", "apps", app_id, "secret", overlap=overlap)["secret"]
    click.echo(f"AppSecret: {secret}")


def set_password(control: Control, username: str, password: str | None) -> None:
    if password is None and sys.stdin.isatty():
        password = click.prompt("New password", hide_input=True, confirmation_prompt=True)
    elif password is None:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        click.echo("The password is empty: nothing was changed", err=True)
        sys.exit(os.EX_USAGE)
    control.call("PUT", "users", username, password=password)
    click.echo(f"The password of {username} was changed")
