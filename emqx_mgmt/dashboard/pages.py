"""`/` and `/assets/<name>`: the files of the dashboard. They contain no data, so no credentials are needed."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import flask
from werkzeug.exceptions import NotFound

from emqx_mgmt.api import errors
from emqx_mgmt.dashboard import port

if TYPE_CHECKING:
    from emqx_mgmt.node import Node

log = logging.getLogger(__name__)

BUILT = Path(__file__).parent / "dist"
MISSING = "The dashboard's pages were not built (make dashboard). The API is served nevertheless.\n"
# No inline script or style, no other host, and no HTML made of text: names and payloads of clients stay text.
POLICY = ("default-src 'self'; connect-src {}; object-src 'none'; frame-ancestors 'none'; base-uri 'none';"
          " form-action 'self'; require-trusted-types-for 'script'; trusted-types live")
# A host of a Host header that can be written in CSP; an IPv6 address cannot.
HOST = re.compile(r"([A-Za-z0-9.-]+)(:\d{1,5})?", re.ASCII)
# The name of such a file contains a hash of its content, so it never changes.
HASHED = re.compile(r"-[A-Za-z0-9_]{8}\.\w+(\.\w+)?")
FOR_EVER = "public, max-age=31536000, immutable"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".json": "application/json", ".txt": "text/plain; charset=utf-8", ".png": "image/png"}


def blueprint(node: Node) -> flask.Blueprint:
    pages = flask.Blueprint("pages", __name__)
    if not (BUILT / "index.html").exists():
        log.warning("%s", MISSING.rstrip())

    @pages.get("/", provide_automatic_options=False)
    def page() -> flask.Response:
        if not (BUILT / "index.html").exists():
            return errors.text(503, MISSING)
        answer = flask.send_from_directory(BUILT, "index.html", max_age=0)
        answer.headers["Content-Security-Policy"] = POLICY.format(" ".join(reached(node)))
        answer.headers["Cache-Control"] = "no-cache"
        return answer

    @pages.get("/assets/<segment:name>", provide_automatic_options=False)
    def asset(name: str) -> flask.Response:
        directory, suffix = BUILT / "assets", Path(name).suffix
        if suffix not in TYPES or "/" in name or not (directory / name).is_file():
            raise NotFound
        packed = f"{name}.gz"
        takes_gzip = flask.request.accept_encodings["gzip"] and (directory / packed).is_file()
        answer = flask.send_from_directory(directory, packed if takes_gzip else name, mimetype=TYPES[suffix])
        if takes_gzip:
            answer.headers["Content-Encoding"] = "gzip"
        answer.vary.add("Accept-Encoding")
        answer.headers["Cache-Control"] = FOR_EVER if HASHED.search(name) else "no-cache"
        return answer

    return port.guard(pages, node)


def reached(node: Node) -> list[str]:
    """The addresses that the page may connect to: this server, and for its MQTT client the WebSocket listeners."""
    host = HOST.fullmatch(flask.request.headers.get("Host", ""))
    found = ["'self'"]
    for listener in node.listeners if host else ():
        if listener.is_mqtt and listener.websocket is not None:
            assert host is not None
            found.append(f"{'wss' if listener.tls else 'ws'}://{host[1]}:{listener.endpoint.port}")
    return found
