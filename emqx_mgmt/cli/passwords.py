"""The password argument of commands."""

from __future__ import annotations

import os
import sys

import click

from emqx_mgmt.cli.control import fail

# A sentence for the help of commands that take a password.
SEEN = "Other users of this machine can see a PASSWORD on the command line. Without it, the command asks for one, or " \
    "reads it from standard input."


def password_of(given: str | None) -> str:
    """The password given; else one typed at a terminal; else a line of standard input. The process exits with 64 where
    it is empty."""
    if given is None and sys.stdin.isatty():
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    elif given is None:
        given = sys.stdin.readline().rstrip("\r\n")
    if not given:
        fail("The password is empty: nothing was changed", os.EX_USAGE)
    return given
