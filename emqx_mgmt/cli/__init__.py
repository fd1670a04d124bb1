"""The command line, `emqx-mgmt`."""

from __future__ import annotations

# Before anything else is imported: the broker runs in this process.
from gevent import monkey

monkey.patch_all()

from typing import TYPE_CHECKING  # noqa: E402

import click  # noqa: E402

from emqx_mgmt.cli.commands import Commands  # noqa: E402

if TYPE_CHECKING:
    from emqx_mgmt.cli.control import Control

CONFIG = click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The configuration file.")


@click.group(cls=Commands)
def main() -> None:
    """An MQTT broker with the EMQ X 3.0 management API."""


@main.command()
@CONFIG
def start(config: str | None) -> None:
    """Start the broker in the foreground."""
    from emqx_mgmt.cli.start import start_broker

    start_broker(config)


@main.command()
@click.option("--plugin", help="The file of a plugin, etc/plugins/PLUGIN.conf, instead of etc/emqx.conf.")
def defaults(plugin: str | None) -> None:
    """Print a configuration file with every key, its meaning and its default."""
    from emqx_mgmt.cli.defaults import print_defaults

    print_defaults(plugin)


def broker(config: str | None) -> Control:
    """The broker that runs with this configuration."""
    from emqx_mgmt.cli.control import Control
    from emqx_mgmt.cli.data import data_dir

    return Control(data_dir(config))


@main.group()
def plugins() -> None:
    """List the plugins of the running broker, load and unload them."""


@plugins.command("list")
@CONFIG
def list_plugins(config: str | None) -> None:
    """Show each plugin and whether it is loaded."""
    from emqx_mgmt.cli.control import list_plugins

    list_plugins(broker(config))


def plugin_command(what: str, doc: str) -> None:
    @plugins.command(what, help=doc)
    @click.argument("plugin")
    @CONFIG
    def command(plugin: str, config: str | None) -> None:
        from emqx_mgmt.cli.control import change_plugin

        change_plugin(broker(config), plugin, what)


plugin_command("load", "Load PLUGIN; it stays loaded over restarts.")
plugin_command("unload", "Unload PLUGIN; it stays unloaded over restarts.")
plugin_command("reload", "Read the settings of PLUGIN again and restart it.")


@main.group()
def auth() -> None:
    """Back-ends that decide about clients."""


@auth.command("test")
@click.argument("plugin")
@click.option("--client-id", default="emqx-mgmt", show_default=True)
@click.option("--username")
@click.option("--password", help="- reads it from standard input: others on this machine see the command line.")
@click.option("--topic", help="Ask whether the client may use it, too.")
@click.option("--access", type=click.Choice(["publish", "subscribe"]), default="publish", show_default=True)
@CONFIG
def test_auth(plugin: str, config: str | None, **asked: str | None) -> None:
    """Say whether PLUGIN would let a client in, and by which rule it may use a topic, without connecting. Ends with 1
    where it would not."""
    from emqx_mgmt.cli.control import try_client

    try_client(broker(config), plugin, asked.pop("password"), **asked)


@main.group()
def log() -> None:
    """Show and change how much the running broker logs."""


@log.command("levels")
@CONFIG
def log_levels(config: str | None) -> None:
    """Show the level of each component."""
    from emqx_mgmt.cli.control import list_levels

    list_levels(broker(config))


@log.command("set-level")
@click.argument("component")
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]))
@CONFIG
def set_log_level(component: str, level: str, config: str | None) -> None:
    """Set the level of COMPONENT, now and over restarts."""
    from emqx_mgmt.cli.control import set_level

    set_level(broker(config), component, level)


@log.command("reset-level")
@click.argument("component")
@CONFIG
def reset_log_level(component: str, config: str | None) -> None:
    """Take `set-level` back."""
    from emqx_mgmt.cli.control import reset_level

    reset_level(broker(config), component)


@main.command("rotate-secret")
@click.argument("app_id")
@click.option("--overlap", type=int, default=0, help="For how many seconds the old secret counts as well.")
@CONFIG
def rotate_app_secret(app_id: str, overlap: int, config: str | None) -> None:
    """Give the application APP_ID a new secret and show it."""
    from emqx_mgmt.cli.control import rotate_secret

    rotate_secret(broker(config), app_id, overlap)


@main.group()
def admins() -> None:
    """Users of the running broker's dashboard."""


@admins.command("passwd")
@click.argument("username")
@click.argument("password", required=False)
@CONFIG
def set_admin_password(username: str, password: str | None, config: str | None) -> None:
    """Give USERNAME another password, without the one before. A PASSWORD on the command line is seen by others on this
    machine; without it one is asked for, or read from standard input."""
    from emqx_mgmt.cli.control import set_password

    set_password(broker(config), username, password)


@main.group()
def data() -> None:
    """Back up and restore everything durable."""


@data.command("export")
@click.argument("file", type=click.Path(dir_okay=False))
@CONFIG
def export_data(file: str, config: str | None) -> None:
    """Write a backup to FILE; the broker may be running."""
    from emqx_mgmt.cli.data import export_to

    export_to(file, config)


@data.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@CONFIG
def import_data(file: str, config: str | None) -> None:
    """Replace everything durable with the backup in FILE; a running broker starts a new worker with it."""
    from emqx_mgmt.cli.data import import_from

    import_from(file, config)


@main.group()
def certs() -> None:
    """Certificates of the running broker."""


@certs.command("reload")
@CONFIG
def reload_certificates(config: str | None) -> None:
    """Read certificates, keys and lists of revoked ones again; nobody is disconnected."""
    from emqx_mgmt.cli.certs import reload

    reload(broker(config))
