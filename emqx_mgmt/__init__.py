"""An MQTT broker with the EMQ X 3.0 management REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from emqx_mgmt.node import Node


def create_app(node: Node) -> Flask:
    """The REST application of one broker node. Opens no socket and starts nothing."""
    # Flask is imported here so that the entry points can patch the standard library first.
    from emqx_mgmt import api, dashboard

    app = api.build(node)
    dashboard.install(app, node)
    return app
