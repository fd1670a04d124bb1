"""Where the request comes from: the client's address, through proxies that the settings name, and whether it is a
program on this machine."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

import flask

from emqx_mgmt.listeners.forwarded import Proxies, Source, source_of

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

LOCAL = "local"
# nginx, unless told otherwise, passes requests on with this version and the address it connects to as Host, and without
# any other sign.
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
    """The connection, if it is one of the control socket: the only one that is no TCP."""
    sock: socket.socket | None = flask.request.environ.get("gunicorn.socket")
    return sock if sock is not None and sock.family == socket.AF_UNIX else None


def address() -> str:
    """The client's, or `local` for the control socket."""
    source: Source | None = flask.g.source
    return LOCAL if source is None else str(source.address)


def is_this_machine() -> bool:
    """A program on this machine asks, and no proxy for somebody else."""
    source: Source | None = flask.g.source
    return source is None or (source.local and flask.request.environ["SERVER_PROTOCOL"] != OF_PROXIES)


def is_secure() -> bool:
    """Whether the client uses TLS, up to a named proxy at least."""
    source: Source | None = flask.g.source
    if source is not None and source.believed:
        return flask.request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    return flask.request.scheme == "https"


def hosts() -> list[str]:
    """The names under which the client knows this server: the Host, and the one that a named proxy was asked for."""
    source: Source | None = flask.g.source
    names = [flask.request.headers.get("Host", "")]
    if source is not None and source.believed:
        names += flask.request.headers.get("X-Forwarded-Host", "").split(",")
    return [name.strip().lower() for name in names if name.strip()]
