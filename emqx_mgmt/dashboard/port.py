"""What is served on the dashboard's port, and nowhere else."""

from __future__ import annotations

import flask
from werkzeug.exceptions import NotFound

from emqx_mgmt.api.auth import DASHBOARD


def guard(blueprint: flask.Blueprint) -> flask.Blueprint:
    """Elsewhere the paths of the blueprint are as unknown as any."""

    @blueprint.before_request
    def look() -> None:
        if flask.g.listener != DASHBOARD:
            raise NotFound

    return blueprint
