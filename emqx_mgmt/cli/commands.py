"""The group of all commands: the module of each, and the handling of unexpected errors."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

# Each command's module, which is imported when the command is called, and the command's object in it.
NOUNS = {
    "start": "start:start",
    "stop": "stop:stop",
    "reload": "reload:reload",
    "status": "status:status",
    "check": "check:check",
    "config": "config:config",
    "defaults": "defaults:defaults",
    "systemd-unit": "systemd_unit:systemd_unit",
    "completion": "completion:completion",
    "broker": "broker:broker",
    "cluster": "cluster:cluster",
    "vm": "vm:vm",
    "log": "log:log",
    "listeners": "listeners:listeners",
    "certs": "certs:certs",
    "clients": "clients:clients",
    "sessions": "sessions:sessions",
    "subscriptions": "subscriptions:subscriptions",
    "routes": "routes:routes",
    "topics": "topics:topics",
    "retainer": "retainer:retainer",
    "trace": "trace:trace",
    "banned": "banned:banned",
    "acl": "acl:acl",
    "plugins": "plugins:plugins",
    "auth": "auth:auth",
    "users": "users:users",
    "clientid": "clientid:clientid",
    "scram": "scram:scram",
    "recon": "recon:recon",
    "mgmt": "mgmt:mgmt",
    "rotate-secret": "mgmt:rotate_secret",
    "admins": "admins:admins",
    "data": "data:data",
}


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NOUNS:
            return None
        module, name = NOUNS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(f"emqx_mgmt.cli.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:     # the reader of a pipe has gone: click prints nothing and exits with 1
            raise
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            click.echo(f"{name}{error.strerror or error}", err=True)
            sys.exit(os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_OSERR)
