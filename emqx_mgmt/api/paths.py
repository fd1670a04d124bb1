"""Request paths as the v3 API reads them.

The path is split at `/`, empty segments are dropped, and each segment is percent-decoded once: `a%2Fb` is one
segment, `a/b` are two, `//` counts as `/` and a trailing slash as nothing. WSGI's decoded PATH_INFO cannot
tell the first two apart, so the path is taken from the server's RAW_URI. What should have been escaped and was not
means itself, in the query too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, unquote_to_bytes

from werkzeug.routing import BaseConverter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PRINTABLE = bytes(range(0x21, 0x7F))
# Set in the environ of a request whose path does not decode to UTF-8.
MALFORMED = "emqx_mgmt.malformed_path"


class PathSegments:
    """WSGI middleware: gives the router a path in which a slash inside a segment is still escaped."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        segments = [unquote_to_bytes(segment) for segment in _ascii(_raw_path(environ)).split("/") if segment]
        texts = [segment.decode(errors="replace") for segment in segments]
        if any(text.encode() != segment for text, segment in zip(texts, segments, strict=True)):
            environ[MALFORMED] = True
        escaped = [_escape(text) for text in texts]
        environ["PATH_INFO"] = ("/" + "/".join(escaped)).encode().decode("latin-1")
        environ["QUERY_STRING"] = _ascii(environ.get("QUERY_STRING", ""))
        return self._app(environ, start_response)


class Segment(BaseConverter):
    """One path segment, any text."""

    def to_python(self, value: str) -> str:
        return unquote(value)

    def to_url(self, value: str) -> str:
        return quote(value, safe="")


def _raw_path(environ: WSGIEnvironment) -> str:
    uri: str | None = environ.get("RAW_URI")
    if uri is None:
        return quote(environ["PATH_INFO"].encode("latin-1"))
    path = uri.partition("?")[0].partition("#")[0]
    if path.startswith("/"):
        return path
    # Absolute form, `http://host/path` (RFC 9112 section 3.2.2).
    return "/" + path.partition("://")[2].partition("/")[2]


def _ascii(text: str) -> str:
    """WSGI's text with what is beyond ASCII escaped: a character for each byte."""
    return text if text.isascii() else quote(text, safe=PRINTABLE, encoding="latin-1")


def _escape(segment: str) -> str:
    return segment.replace("%", "%25").replace("/", "%2F")
