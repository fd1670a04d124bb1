"""`emqx-mgmt start`: the broker under gunicorn, without a checkout and without gunicorn's command line."""

from __future__ import annotations

import click

from emqx_mgmt.cli.configured import CONFIG, use


@click.command()
@CONFIG
def start(config: str | None) -> None:
    """Start the broker in the foreground. Signals and exit codes are those of `gunicorn wsgi:app`."""
    # Set before any module of the broker is imported, since the broker runs in this process.
    from gevent import monkey

    monkey.patch_all()
    from emqx_mgmt.server.standalone import Standalone

    use(config)
    Standalone().run()
