"""`emqx-mgmt mgmt`: the applications that may use the management API."""

from __future__ import annotations

import click

from emqx_mgmt.cli.control import Control, asks, fail
from emqx_mgmt.cli.output import Output

COLUMNS = ("app_id", "name", "desc", "status", "expired")
ROLE = click.option("--role", type=click.Choice(["viewer", "operator", "administrator"]), default="administrator",
                    show_default=True, help="What the application may do.")
OVERLAP = click.option("--overlap", type=click.IntRange(0), default=0, show_default=True,
                       help="Seconds for which the old secret is accepted as well.")


@click.group()
def mgmt() -> None:
    """Applications that may use the management API, each with an id and a secret."""


@mgmt.command("list")
@asks
def list_applications(broker: Control, out: Output) -> None:
    """Show all applications, without their secrets."""
    out.table(broker.call("GET", "apps"), *COLUMNS)


@mgmt.command("lookup")
@click.argument("app_id")
@asks
def lookup(broker: Control, out: Output, app_id: str) -> None:
    """Show the application APP_ID."""
    out.members(found(broker, app_id))


@mgmt.command("insert")
@click.argument("app_id")
@click.argument("name")
@ROLE
@asks
def insert(broker: Control, out: Output, app_id: str, name: str, role: str) -> None:
    """Make the application APP_ID and show its secret, once."""
    body = {"app_id": app_id, "name": name, "desc": "Application user", "role": role}
    secret = broker.call("POST", "apps", body=body)["secret"]
    out.done(f"AppSecret: {secret}", secret=secret)


@mgmt.command("update")
@click.argument("app_id")
@click.argument("status", type=click.BOOL)
@asks
def update(broker: Control, out: Output, app_id: str, status: bool) -> None:
    """Enable the application APP_ID, or disable it with the STATUS `false`."""
    before = found(broker, app_id)
    kept = {name: before[name] for name in ("name", "desc", "expired", "style", "names") if name in before}
    broker.call("PUT", "apps", app_id, body=kept | {"status": status})
    out.done(f"The application {app_id} is {'let in' if status else 'refused'}")


@mgmt.command("delete")
@click.argument("app_id")
@asks
def delete(broker: Control, out: Output, app_id: str) -> None:
    """Delete the application APP_ID."""
    found(broker, app_id)
    broker.call("DELETE", "apps", app_id)
    out.done(f"The application {app_id} was deleted")


@click.command()
@click.argument("app_id")
@OVERLAP
@asks
def rotate_secret(broker: Control, out: Output, app_id: str, overlap: int) -> None:
    """Give the application APP_ID a new secret and show it, once."""
    found(broker, app_id)
    secret = broker.call("POST", "apps", app_id, "secret", body={"overlap": overlap})["secret"]
    out.done(f"AppSecret: {secret}", secret=secret)


mgmt.add_command(rotate_secret)


def found(broker: Control, app_id: str) -> dict[str, object]:
    application = broker.call("GET", "apps", app_id)
    if not application:
        fail(f"There is no application {app_id}")
    return dict(application)
