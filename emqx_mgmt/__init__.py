"""The management API and the broker behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from emqx_mgmt.node import Node


def create_app(node: Node) -> Flask:
    """The WSGI application for a node."""
    # Flask is imported here so that the entry points can patch the standard library first.
    from flask import Flask

    app = Flask(__name__)

    @app.get("/status")
    def status() -> tuple[str, int, dict[str, str]]:
        return f"Node {node.name} is started\nemqx is running", 200, {"Content-Type": "text/plain"}

    return app
