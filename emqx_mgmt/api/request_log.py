"""A log line of level `debug` for each request: method, path, address, status. The request's number is in the answer
and in every log line about the request, so that a reader can match them."""

from __future__ import annotations

import logging
import re
import secrets

import flask

from emqx_mgmt.api import source

log = logging.getLogger(__name__)

HEADER = "X-Request-Id"
GIVEN = re.compile(r"[!-~]{1,128}")     # sent by a proxy or a client


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
    """Members that the current request adds to a log line in JSON."""
    return {"event": event, "peer": origin(), "request_id": flask.g.request_id}


def origin() -> str:
    return source.address() if "source" in flask.g else "unknown"
