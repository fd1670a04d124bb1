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
