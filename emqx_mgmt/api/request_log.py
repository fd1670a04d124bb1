"""A line of the log for each request, for `debug`: what was asked, from where, and what was answered."""

from __future__ import annotations

import logging

import flask

from emqx_mgmt.api import source

log = logging.getLogger(__name__)


def install(app: flask.Flask) -> None:
    @app.after_request
    def log_request(response: flask.Response) -> flask.Response:
        if log.isEnabledFor(logging.DEBUG):
            origin = source.address() if "source" in flask.g else "unknown"
            log.debug("%s %s from %s: %d", flask.request.method, flask.request.path, origin, response.status_code)
        return response
