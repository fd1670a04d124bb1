"""GET /api/v3/: the list of all endpoints, by description."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import flask

from emqx_mgmt.api import errors
from emqx_mgmt.api.endpoint import PREFIX, Endpoint
from emqx_mgmt.api.render import respond


def blueprint(endpoints: Callable[[], Iterable[Endpoint]]) -> flask.Blueprint:
    """`endpoints()` returns the endpoints that are served now."""
    index = flask.Blueprint("index", __name__)

    @index.route(PREFIX, methods=["GET", "POST", "PUT", "DELETE"], provide_automatic_options=False)
    def list_endpoints() -> flask.Response:
        if flask.request.method not in ("GET", "HEAD"):
            return errors.text(400, "Bad Request")
        listed = sorted((endpoint for endpoint in endpoints() if endpoint.listed), key=lambda one: one.descr)
        return respond([
            {"name": one.name, "method": one.method, "path": one.path, "descr": one.descr} for one in listed
        ])

    return index
