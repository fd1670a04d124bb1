"""Failed log-ins. Each is logged, counted and put into the audit record; an alarm is raised when there are many.

The number of lines and rows is bounded, because somebody who guesses passwords causes one with each attempt.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import flask
from msgspec import Struct

from emqx_mgmt.api import request_log, source

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

log = logging.getLogger(__name__)

LONGEST_NAME = 100
ROWS = 20
PERIOD_S = 10.0


class FailedLogin(Struct, frozen=True):
    """A failed log-in in the audit record. `kind` says whether `name` was sent as the name of an application or of a
    user."""

    kind: str
    name: str
    result: str


class FailedLogins:
    """At most ROWS failed log-ins in a period are put into the audit record. The next row says how many were left
    out."""

    def __init__(self, node: Node) -> None:
        self._recent = node.failed_logins
        self._began = 0.0
        self._rows = self._left_out = 0

    def note(self, failed: FailedLogin) -> FailedLogin | None:
        """Counts and logs a failed log-in. Returns the row for the audit record; None where the limit is reached."""
        self._recent.happened()
        log.warning("Log-in refused: %s (%s %r, from %s)", failed.result, failed.kind, failed.name, source.address(),
                    extra=request_log.members("login_refused"))
        now = time.monotonic()
        if now - self._began >= PERIOD_S:
            self._began, self._rows = now, 0
        self._rows += 1
        if self._rows > ROWS:
            self._left_out += 1
            return None
        more, self._left_out = self._left_out, 0
        if not more:
            return failed
        return FailedLogin(failed.kind, failed.name, f"{failed.result} ({more} more before are not on record)")


def install(app: flask.Flask, node: Node) -> None:
    app.extensions["failed_logins"] = FailedLogins(node)


def note(kind: str, name: str, result: str) -> None:
    """Notes that this request failed to log in. `audit.py` writes the row, with the answer's status."""
    failed: FailedLogins = flask.current_app.extensions["failed_logins"]
    flask.g.failed_login = failed.note(FailedLogin(kind, name[:LONGEST_NAME], result))
