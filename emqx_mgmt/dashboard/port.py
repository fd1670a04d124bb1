"""Serves blueprints only on the dashboard's port, and only while its plugin is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import NotFound

from emqx_mgmt.api.auth import DASHBOARD

if TYPE_CHECKING:
    from emqx_mgmt.node import Node


def guard(blueprint: flask.Blueprint, node: Node) -> flask.Blueprint:
    """Elsewhere, the paths of the blueprint are answered with 404."""

    @blueprint.before_request
    def look() -> None:
        if flask.g.listener != DASHBOARD or not node.store.logins.are_offered:
            raise NotFound

    return blueprint
