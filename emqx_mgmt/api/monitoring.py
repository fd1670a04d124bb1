"""Liveness, readiness and Prometheus metrics, for probes and monitoring systems, outside of the v3 prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import NotFound

from emqx_mgmt.api import auth, errors, source
from emqx_mgmt.manage.exposition import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from emqx_mgmt.manage import Cluster
    from emqx_mgmt.node import Node

LOOPBACK = "loopback"


def install_gate(app: flask.Flask, cluster: Cluster) -> None:
    """While the node has not started, answers every request except probes with 503."""

    @app.before_request
    def gate() -> flask.Response | None:
        if cluster.local.hindrance and not flask.request.path.startswith("/health/"):
            return errors.text(503, f"The node has not started. {cluster.local.hindrance}\n")
        return None


def blueprint(node: Node, cluster: Cluster) -> flask.Blueprint:
    monitoring = flask.Blueprint("monitoring", __name__)
    local, settings = cluster.local, node.settings

    @monitoring.get("/health/live", provide_automatic_options=False)
    def live() -> flask.Response:
        """200 while the event loop turns."""
        return errors.text(200, "ok\n")

    @monitoring.get("/health/ready", provide_automatic_options=False)
    def ready() -> flask.Response:
        """200 while clients should connect to this node. Not before it has started, nor while it drains or a guard is
        missing."""
        if local.is_ready:
            return errors.text(200, "ok\n")
        return errors.text(503, "".join(f"{line}\n" for line in ("not ready", *local.complaints())))

    @monitoring.get("/metrics", provide_automatic_options=False)
    def metrics() -> flask.Response:
        if settings["management.metrics.from"] == LOOPBACK and not source.is_this_machine():
            raise NotFound
        if settings["management.metrics.auth"]:
            refused = auth.demand()
            if refused is not None:
                return refused
        return flask.Response(exposition(local.families()), content_type=CONTENT_TYPE)

    return monitoring
