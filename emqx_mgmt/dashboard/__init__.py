"""The dashboard: its page, and the log-ins of browsers. Both are served on the dashboard's port only. The page gets its
data from `/api/v3`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.dashboard import logins, pages

if TYPE_CHECKING:
    from flask import Flask

    from emqx_mgmt.node import Node


def install(app: Flask, node: Node) -> None:
    app.register_blueprint(logins.blueprint(node))
    app.register_blueprint(pages.blueprint(node))
