"""The source of a request: the client's address, also behind proxies that the settings name, and whether the client is
a program on this machine."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

import flask

from emqx_mgmt.listeners.forwarded import Proxies, Source, source_of

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

LOCAL = "local"
# By default, nginx forwards requests with this HTTP version, with the address that it connects to as Host, and with no
# other header that shows a proxy.
OF_PROXIES = "HTTP/1.0"


def install(app: flask.Flask, node: Node) -> None:
    proxies = Proxies(node.settings["management.proxy_trusted"], node.settings["management.proxy_address_header"])

    @app.before_request
    def look() -> None:
        environ = flask.request.environ
        flask.g.source = None
        if control_socket() is None:
            headers = {name.lower(): value for name, value in flask.request.headers}
            peer = ipaddress.ip_address(environ["REMOTE_ADDR"])
            flask.g.source = source_of(peer, int(environ["REMOTE_PORT"]), headers, proxies)


def control_socket() -> socket.socket | None:
    """The connection, if it came over the control socket; None for TCP."""
    sock: socket.socket | None = flask.request.environ.get("gunicorn.socket")
    return sock if sock is not None and sock.family == socket.AF_UNIX else None


def address() -> str:
    """The client's, or `local` for the control socket."""
    source: Source | None = flask.g.source
    return LOCAL if source is None else str(source.address)


def is_this_machine() -> bool:
    """Whether a program on this machine sent the request, rather than a proxy for another machine."""
    source: Source | None = flask.g.source
    return source is None or (source.local and flask.request.environ["SERVER_PROTOCOL"] != OF_PROXIES)


def is_secure() -> bool:
    """Whether the client uses TLS, to this broker or to a proxy that the settings name."""
    source: Source | None = flask.g.source
    if source is not None and source.believed:
        return flask.request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    return flask.request.scheme == "https"


def hosts() -> list[str]:
    """The names that the client may have used for this server: the Host, and the Host that a named proxy forwards."""
    source: Source | None = flask.g.source
    names = [flask.request.headers.get("Host", "")]
    if source is not None and source.believed:
        names += flask.request.headers.get("X-Forwarded-Host", "").split(",")
    return [name.strip().lower() for name in names if name.strip()]
