"""The group of all commands, and what becomes of errors that no command expects: a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from emqx_mgmt.storage.data_dir import DataDirError


class Commands(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DataDirError as error:
            click.echo(str(error), err=True)
            sys.exit(error.code)
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            click.echo(f"{name}{error.strerror or error}", err=True)
            sys.exit(os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_OSERR)
