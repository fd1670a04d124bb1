"""A line of the log for each request, for `debug`: what was asked, from where, and what was answered. Its number is in
the answer and in every line about it, so that the two can be joined."""

from __future__ import annotations

import logging
import re
import secrets

import flask

from emqx_mgmt.api import source

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
GIVEN = re.compile(r"[!-~]{1,128}")     # by a proxy or a client that has one


def install(app: flask.Flask) -> None:
    @app.before_request
    def number() -> None:
        given = flask.request.headers.get(HEADER, "")
        flask.g.request_id = given if GIVEN.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def log_request(response: flask.Response) -> flask.Response:
        response.headers[HEADER] = flask.g.request_id
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s from %s: %d", flask.request.method, flask.request.path, origin(), response.status_code,
                      extra=members("request"))
        return response


def members(event: str) -> dict[str, str]:
    """Of the JSON form of a line about the current request."""
    return {"event": event, "peer": origin(), "request_id": flask.g.request_id}


def origin() -> str:
    return source.address() if "source" in flask.g else "unknown"
