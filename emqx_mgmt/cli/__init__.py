"""The command line, `emqx-mgmt`."""

# Before anything else is imported: the broker runs in this process.
from gevent import monkey

monkey.patch_all()

import click  # noqa: E402


@click.group()
def main() -> None:
    """An MQTT broker with the EMQ X 3.0 management API."""


@main.command()
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The configuration file.")
def start(config: str | None) -> None:
    """Start the broker in the foreground."""
    from emqx_mgmt.cli.start import start_broker

    start_broker(config)


@main.command()
def defaults() -> None:
    """Print a configuration file with every key, its meaning and its default."""
    from emqx_mgmt.settings.sample import sample

    click.echo(sample(), nl=False)


@main.group()
def data() -> None:
    """Back up and restore everything durable."""


@data.command("export")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The configuration file.")
def export_data(file: str, config: str | None) -> None:
    """Write a backup to FILE; the broker may be running."""
    from emqx_mgmt.cli.data import export_to

    export_to(file, config)


@data.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The configuration file.")
def import_data(file: str, config: str | None) -> None:
    """Replace everything durable with the backup in FILE; a running broker starts a new worker with it."""
    from emqx_mgmt.cli.data import import_from

    import_from(file, config)


@main.group()
def certs() -> None:
    """Certificates of the running broker."""


@certs.command("reload")
@click.option("--config", type=click.Path(exists=True, dir_okay=False), help="The configuration file.")
def reload_certificates(config: str | None) -> None:
    """Read certificates, keys and lists of revoked ones again; nobody is disconnected."""
    from emqx_mgmt.cli.certs import reload

    reload(config)
