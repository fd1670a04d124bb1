"""`emqx-mgmt status`."""

from __future__ import annotations

import sys

import click

from emqx_mgmt.cli.control import REFUSED, Control, asks
from emqx_mgmt.cli.output import Output


@click.command()
@asks
def status(broker: Control, out: Output) -> None:
    """Say whether the broker runs and serves clients. The exit code is 69 where no broker runs, and 1 where it serves
    no clients."""
    http_status, said = broker.text("/health/ready")
    _, state = broker.text("/status")
    ready = http_status == 200
    reasons = [] if ready else said.splitlines()[1:]
    out.done("\n".join([state.strip(), "It serves clients." if ready else "It serves no clients.", *reasons]),
             ready=ready, reasons=reasons)
    if not ready:
        sys.exit(REFUSED)
