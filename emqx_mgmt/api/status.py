"""GET /status: whether the node runs. Needs no credentials."""

from __future__ import annotations

import flask

from emqx_mgmt.api import errors

blueprint = flask.Blueprint("status", __name__)


@blueprint.route("/status", methods=["GET", "POST", "PUT", "DELETE"], provide_automatic_options=False)
def show() -> flask.Response:
    if flask.request.method not in ("GET", "HEAD"):
        return errors.text(400, "Not found.")
    local = flask.current_app.extensions["cluster"].local
    state = "running" if local.is_running else "not_running"
    return errors.text(200, f"Node {local.name} is started\nemqx is {state}")
