"""`emqx-mgmt systemd-unit`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

UNIT = """\
# Printed by `emqx-mgmt systemd-unit`. Put it into /etc/systemd/system/emqx-mgmt.service, then:
#   systemctl daemon-reload && systemctl enable --now emqx-mgmt
# As root, `emqx-mgmt status --data-dir /var/lib/emqx-mgmt` and the other commands ask the running broker.

[Unit]
Description=EMQ X compatible MQTT broker
Wants=network-online.target
After=network-online.target

[Service]
# The worker reports when it serves clients, and that its loop turns; so all processes may report.
Type=notify
NotifyAccess=all
ExecStart={command} start{options}
# A reload is over when a new worker serves clients, or when the settings were refused.
ExecReload=/bin/kill -HUP $MAINPID
KillMode=mixed
WatchdogSec=30
# A start reads all that is stored, which takes its time. The broker itself ends a worker that is stuck.
TimeoutStartSec=infinity
TimeoutStopSec=30
Restart=on-failure
RestartSec=1
# A restart does not repair a damaged store, an unreadable file, a wrong user, or a bad configuration.
RestartPreventExitStatus=64 65 66 77 78

# A user of its own; durable state is in /var/lib/emqx-mgmt.
DynamicUser=yes
StateDirectory=emqx-mgmt
StateDirectoryMode=0700
Environment=EMQX_NODE__DATA_DIR=%S/emqx-mgmt
# A descriptor for each connection.
LimitNOFILE=1048576

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
CapabilityBoundingSet=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"""


@click.command()
@click.option("--config", type=click.Path(dir_okay=False), help="The configuration file that the service reads, which "
              "its user must be able to read, such as /etc/emqx-mgmt/emqx.conf.  [default: the defaults]")
@click.option("--command", help="Path of the emqx-mgmt that the service starts.  [default: this one]")
def systemd_unit(config: str | None, command: str | None) -> None:
    """Print a systemd unit that runs the broker as a service with a user of its own."""
    program = Path(command or shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    options = f" --config {Path(config).absolute()}" if config else ""
    at_home = os.path.commonpath([program, "/home"]) == "/home" or os.path.commonpath([program, "/root"]) == "/root"
    click.echo(UNIT.format(command=program, options=options, home="read-only" if at_home else "yes"), nl=False)
