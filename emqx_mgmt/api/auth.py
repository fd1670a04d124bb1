"""Who asks: HTTP Basic, with an application's credentials on the management listener, a user's on the other.

Asked before anything else below the prefix, also for paths that do not exist. Only what its endpoint declares
public is exempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from flask_httpauth import HTTPBasicAuth

from emqx_mgmt.api.endpoint import PREFIX

if TYPE_CHECKING:
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.node import Node

REALM = "minirest-server"
MANAGEMENT, DASHBOARD = "management", "dashboard"


def install(app: flask.Flask, node: Node) -> None:
    basic = HTTPBasicAuth(realm=REALM)

    @basic.verify_password
    def verify(name: str, password: str) -> Any:
        if flask.g.listener == MANAGEMENT:
            return node.store.applications.verify(name, password)
        return None

    @app.before_request
    def guard() -> flask.Response | None:
        flask.g.listener = _listener(node.listeners)
        if not _is_guarded(flask.request.path) or _is_public():
            return None
        given = flask.request.authorization
        # Flask-HTTPAuth's own reading of the header takes any scheme for Basic.
        caller = basic.authenticate(given, None) if given is not None and given.type == "basic" else None
        if not caller:
            return refusal()
        flask.g.caller = caller
        return None


def refusal() -> flask.Response:
    """All causes look alike."""
    headers = {"WWW-Authenticate": f'Basic Realm="{REALM}"'}
    return flask.Response("UNAUTHORIZED", 401, headers, content_type="text/plain")


def _is_guarded(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _is_public() -> bool:
    """Exempt is what the router found, never what the path begins with."""
    view = flask.current_app.view_functions.get(flask.request.endpoint or "")
    return getattr(view, "public", False)


def _listener(listeners: list[Listener]) -> str:
    """Which of the two the request came in by: the server names the socket that accepted it."""
    environ = flask.request.environ
    accepted_by = (environ["SERVER_NAME"], environ["SERVER_PORT"])
    for listener in listeners:
        if listener.sock is not None and not listener.is_mqtt:
            host, port = listener.sock.getsockname()[:2]
            if (host, str(port)) == accepted_by:
                return listener.name
    return MANAGEMENT
