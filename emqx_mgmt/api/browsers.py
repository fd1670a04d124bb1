"""Protection of browsers: response headers that keep answers out of frames and caches, CORS, and the check of request
headers that name the page behind a request. A browser sends the credentials that it remembers also for pages of other
sites."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import flask

from emqx_mgmt.api import errors, source
from emqx_mgmt.api.style import HEADER as STYLE_HEADER

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# Over http to another machine browsers ignore it, and write an error to the page's console. They send no Sec-Fetch-Site
# there either.
OPENER = ("Cross-Origin-Opener-Policy", "same-origin")
METHODS = "GET, HEAD, POST, PUT, DELETE"
# Request headers that this API reads and a browser sends only with permission, and response headers that a page may
# read only with permission.
HEADERS = f"Authorization, Content-Type, If-None-Match, {STYLE_HEADER}"
EXPOSED = "ETag"
ANY = "*"
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
# Values of Sec-Fetch-Site (W3C Fetch Metadata) for a page of this server, and for a request that the user typed.
OWN = frozenset(("same-origin", "none"))
PORTS = {"http": ":80", "https": ":443"}


def install(app: flask.Flask, node: Node) -> None:
    allowed: tuple[str, ...] = node.settings["management.cors_origins"]
    app.config["OWN_ORIGINS"] = frozenset(node.settings["dashboard.allowed_origins"])

    @app.before_request
    def preflight() -> flask.Response | None:
        """Answers the OPTIONS request that a browser sends, without credentials, before a request of another origin.
        Any other OPTIONS request is answered with 404."""
        asks = flask.request.method == "OPTIONS" and "Access-Control-Request-Method" in flask.request.headers
        return flask.Response(status=204) if asks and origin(allowed) else None

    @app.before_request
    def keep_out_other_sites() -> flask.Response | None:
        """Refuses changes that a page of another site requests, whoever is logged in in that browser."""
        if flask.request.method in SAFE or origin(allowed) or is_own_page():
            return None
        return errors.text(403, refusal())

    @app.after_request
    def add_headers(response: flask.Response) -> flask.Response:
        for name, value in SECURITY.items():
            response.headers.setdefault(name, value)
        if "Sec-Fetch-Site" in flask.request.headers:
            response.headers.setdefault(*OPENER)
        response.headers.setdefault("Cache-Control", "no-store")
        if allowed:
            allow(response, origin(allowed))
        return response


def origin(allowed: tuple[str, ...]) -> str | None:
    """The origin of the page behind the request, if `management.cors_origins` has it."""
    given = flask.request.headers.get("Origin")
    return given if given is not None and (given in allowed or ANY in allowed) else None


def is_own_page() -> bool:
    """Whether the request comes from a page of this server, or from no page. Sec-Fetch-Site is right even where a proxy
    has changed the Host."""
    says_nothing = not any(name in flask.request.headers for name in ("Sec-Fetch-Site", "Origin"))
    return says_nothing or is_shown_to_be_own_page()


def is_shown_to_be_own_page() -> bool:
    """Like `is_own_page`, but the request must have a header that shows it. Over http to other machines browsers send
    no Sec-Fetch-Site, but they send Origin."""
    site, page = flask.request.headers.get("Sec-Fetch-Site"), flask.request.headers.get("Origin")
    if site is not None:
        return site in OWN
    return page is not None and is_own(page)


def is_own(page: str) -> bool:
    """Whether an origin is this server's, under any name that the request or the settings use for it. The scheme does
    not matter, since a proxy may have terminated TLS."""
    if page in flask.current_app.config["OWN_ORIGINS"]:
        return True
    try:
        scheme, authority, *rest = urlsplit(page.lower())
    except ValueError:
        return False
    port = PORTS.get(scheme)
    if port is None or any(rest):
        return False
    return authority.removesuffix(port) in [host.removesuffix(port) for host in source.hosts()]


def refusal() -> str:
    """The sentence has the headers that were compared: a proxy that changes the Host is the usual cause."""
    given = flask.request.headers
    return (f"A page of another site may not change anything: Origin {given.get('Origin')!r:.200}, Sec-Fetch-Site "
            f"{given.get('Sec-Fetch-Site')!r:.50}, Host {given.get('Host')!r:.200}. To allow the page, name its "
            "origin in management.cors_origins; if a proxy changed the Host, let it forward the Host, or name the "
            "dashboard's origin in dashboard.allowed_origins.")


def allow(response: flask.Response, given: str | None) -> None:
    response.vary.add("Origin")
    if given is not None:
        response.headers["Access-Control-Allow-Origin"] = given
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = HEADERS
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
