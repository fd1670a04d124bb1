"""The dashboard: its page, and the log-ins of browsers, on the dashboard's port alone. What the page shows it asks
`/api/v3` for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.dashboard import logins, pages

if TYPE_CHECKING:
    from flask import Flask

    from emqx_mgmt.node import Node


def install(app: Flask, node: Node) -> None:
    app.register_blueprint(logins.blueprint(node))
    app.register_blueprint(pages.blueprint(node))
