"""Request paths as the v3 API reads them.

The path is split at `/`, empty segments are dropped, and each segment is percent-decoded once: `a%2Fb` is one segment,
`a/b` are two, `//` counts as `/`, and a trailing slash is ignored. WSGI's decoded PATH_INFO does not distinguish the
first two, so the path is taken from the server's RAW_URI. A character that should have been escaped but was not stands
for itself, also in the query.

Some names do not survive a path: clients resolve `.` and `..` even when they are escaped, and proxies decode `%2F`. A
segment that begins with `:` and is the name of a query parameter stands for that parameter's value:
`/sessions/:id/messages/?:id=..`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Request
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.routing import BaseConverter
from werkzeug.utils import cached_property

from router_ext.net.percent import percent_decoded

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Set in the environ of a request whose path does not decode to UTF-8, or whose query has too many members.
MALFORMED = "emqx_mgmt.malformed_path"
TOO_MANY = "emqx_mgmt.too_many_parameters"
# More than any route has and any caller needs. Each costs time before the credentials are checked.
MOST_SEGMENTS = 32
MOST_PARAMETERS = 1000
# What a segment begins with whose text is in the query.
NAMED = b":"

_SLASHES = re.compile(rb"//+")


class PathSegments:
    """WSGI middleware: gives the router a path in which a slash inside a segment is still escaped."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("QUERY_STRING", "").count("&") >= MOST_PARAMETERS:
            environ["QUERY_STRING"] = ""
            environ[TOO_MANY] = True
        segments = [percent_decoded(segment) for segment in _segments(_raw_path(environ))]
        if any(segment.startswith(NAMED) for segment in segments):
            query = dict(reversed(_members(environ.get("QUERY_STRING", "").encode("latin-1"))))
            segments = [query.get(segment) or segment for segment in segments]
        texts = [segment.decode(errors="replace") for segment in segments]
        if any(text.encode() != segment for text, segment in zip(texts, segments, strict=True)):
            environ[MALFORMED] = True
        escaped = [_escape(text) for text in texts]
        environ["PATH_INFO"] = ("/" + "/".join(escaped)).encode().decode("latin-1")
        return self._app(environ, start_response)


class ApiRequest(Request):
    """A request whose query is decoded in one pass."""

    @cached_property
    def args(self) -> ImmutableMultiDict[str, str]:
        """Without those that stand for segments of the path."""
        return ImmutableMultiDict([(name.decode(errors="replace"), value.decode(errors="replace"))
                                   for name, value in _members(self.query_string) if not name.startswith(NAMED)])


class Segment(BaseConverter):
    """One path segment, any text."""

    def to_python(self, value: str) -> str:
        return percent_decoded(value.encode()).decode()

    def to_url(self, value: str) -> str:
        return quote(value, safe="")


def _members(query: bytes) -> list[tuple[bytes, bytes]]:
    members = (member.replace(b"+", b" ").partition(b"=") for member in query.split(b"&") if member)
    return [(percent_decoded(name), percent_decoded(value)) for name, _, value in members]


def _segments(path: str) -> list[bytes]:
    """The segments as sent, one character for each byte. Beyond MOST_SEGMENTS, which no route has, the last one is the
    whole rest."""
    return [segment for segment in _SLASHES.sub(b"/", path.encode("latin-1")).split(b"/", MOST_SEGMENTS) if segment]


def _raw_path(environ: WSGIEnvironment) -> str:
    uri: str | None = environ.get("RAW_URI")
    if uri is None:
        return quote(environ["PATH_INFO"].encode("latin-1"))
    path = uri.partition("?")[0].partition("#")[0]
    if path.startswith("/"):
        return path
    # Absolute form, `http://host/path` (RFC 9112 section 3.2.2).
    return "/" + path.partition("://")[2].partition("/")[2]


def _escape(segment: str) -> str:
    return segment.replace("%", "%25").replace("/", "%2F")
