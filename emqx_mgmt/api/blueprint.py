"""Endpoints as Flask calls them: access, parameters, handler, response."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import flask

from emqx_mgmt.api import access, parameters
from emqx_mgmt.api.endpoint import Endpoint
from emqx_mgmt.api.render import respond
from emqx_mgmt.manage import Cluster


def blueprint(name: str, endpoints: Sequence[Endpoint]) -> flask.Blueprint:
    """The blueprint of one resource."""
    resource = flask.Blueprint(name, __name__)
    for position, endpoint in enumerate(endpoints):
        if endpoint.handler is None:
            continue
        # The number, because names repeat in the table (the index lists `get_all_configs` twice).
        resource.add_url_rule(
            endpoint.rule,
            endpoint=f"{endpoint.name}-{position}",
            view_func=view_of(endpoint),
            methods=[endpoint.method],
            provide_automatic_options=False,
        )
    return resource


def view_of(endpoint: Endpoint) -> Callable[..., flask.Response]:
    """The view function of the endpoint."""
    handler = endpoint.handler
    assert handler is not None

    def view(**path: str) -> flask.Response:
        cluster: Cluster = flask.current_app.extensions["cluster"]
        flask.g.endpoint = endpoint
        access.demand(endpoint)
        if endpoint.upload:
            flask.request.max_content_length = sys.maxsize  # None means the application's own limit
            return respond(handler(cluster, upload=flask.request.stream, **path))
        if endpoint.batch:
            flask.g.params = rows = parameters.rows()
            return respond(handler(cluster, params=rows, **path))
        flask.g.params = given = parameters.given()
        if endpoint.takes is not None:
            path["params"] = parameters.converted(given, endpoint.takes)
        return respond(handler(cluster, **path))

    view.public = endpoint.public  # type: ignore[attr-defined]
    return view
