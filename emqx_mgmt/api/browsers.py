"""What browsers are told: headers that keep answers out of frames and caches, and which pages may read them (CORS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import flask

from emqx_mgmt.api.style import HEADER as STYLE_HEADER

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
METHODS = "GET, HEAD, POST, PUT, DELETE"
# All that this API reads of a request and that a browser sends only where it is allowed; and what a page may read of an
# answer beyond what every page may.
HEADERS = f"Authorization, Content-Type, If-None-Match, {STYLE_HEADER}"
EXPOSED = "ETag"
ANY = "*"


def install(app: flask.Flask, node: Node) -> None:
    allowed: tuple[str, ...] = node.settings["management.cors_origins"]

    @app.before_request
    def preflight() -> flask.Response | None:
        """A browser asks without credentials before a request of another origin; elsewhere OPTIONS is unknown."""
        asks = flask.request.method == "OPTIONS" and "Access-Control-Request-Method" in flask.request.headers
        return flask.Response(status=204) if asks and origin(allowed) else None

    @app.after_request
    def tell(response: flask.Response) -> flask.Response:
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        if allowed:
            allow(response, origin(allowed))
        return response


def origin(allowed: tuple[str, ...]) -> str | None:
    """The asking page's origin, if it is on the list."""
    given = flask.request.headers.get("Origin")
    return given if given is not None and (given in allowed or ANY in allowed) else None


def allow(response: flask.Response, given: str | None) -> None:
    response.vary.add("Origin")
    if given is not None:
        response.headers["Access-Control-Allow-Origin"] = given
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = HEADERS
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
