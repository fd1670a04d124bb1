"""What browsers are told: headers that keep answers out of frames and caches, and which pages may read them (CORS); and
what they say of the page that asks. A browser sends the credentials it remembers also for pages of other sites."""

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
# All that this API reads of a request and that a browser sends only where it is allowed; and what a page may read of an
# answer beyond what every page may.
HEADERS = f"Authorization, Content-Type, If-None-Match, {STYLE_HEADER}"
EXPOSED = "ETag"
ANY = "*"
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
# Of Sec-Fetch-Site (W3C Fetch Metadata): a page of this server, or the user himself.
OWN = frozenset(("same-origin", "none"))
PORTS = {"http": ":80", "https": ":443"}


def install(app: flask.Flask, node: Node) -> None:
    allowed: tuple[str, ...] = node.settings["management.cors_origins"]
    app.config["OWN_ORIGINS"] = frozenset(node.settings["dashboard.allowed_origins"])

    @app.before_request
    def preflight() -> flask.Response | None:
        """A browser asks without credentials before a request of another origin; elsewhere OPTIONS is unknown."""
        asks = flask.request.method == "OPTIONS" and "Access-Control-Request-Method" in flask.request.headers
        return flask.Response(status=204) if asks and origin(allowed) else None

    @app.before_request
    def keep_out_other_sites() -> flask.Response | None:
        """A page of another site changes nothing, whoever is logged in in the browser that shows it."""
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
    """The asking page's origin, if it is on the list."""
    given = flask.request.headers.get("Origin")
    return given if given is not None and (given in allowed or ANY in allowed) else None


def is_own_page() -> bool:
    """Whether a page of this server asks, or no page at all. What a browser says in Sec-Fetch-Site is so also where a
    proxy has changed the Host."""
    says_nothing = not any(name in flask.request.headers for name in ("Sec-Fetch-Site", "Origin"))
    return says_nothing or is_shown_to_be_own_page()


def is_shown_to_be_own_page() -> bool:
    """The same, and the browser says so. Browsers send no Sec-Fetch-Site over http to other machines, but an Origin."""
    site, page = flask.request.headers.get("Sec-Fetch-Site"), flask.request.headers.get("Origin")
    if site is not None:
        return site in OWN
    return page is not None and is_own(page)


def is_own(page: str) -> bool:
    """Whether an origin is this server's, under any name it was asked by or that the settings give it. The scheme does
    not matter: a proxy may have taken TLS away."""
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
    """Names what was compared: a proxy that changes the Host is the usual cause."""
    given = flask.request.headers
    return (f"A page of another site may not change anything: Origin {given.get('Origin')!r:.200}, Sec-Fetch-Site "
            f"{given.get('Sec-Fetch-Site')!r:.50}, Host {given.get('Host')!r:.200}. If the page is to be let in, name "
            "its origin in management.cors_origins; if a proxy changed the Host, let it pass the Host on, or name the "
            "dashboard's origin in dashboard.allowed_origins.")


def allow(response: flask.Response, given: str | None) -> None:
    response.vary.add("Origin")
    if given is not None:
        response.headers["Access-Control-Allow-Origin"] = given
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = HEADERS
        response.headers["Access-Control-Expose-Headers"] = EXPOSED
