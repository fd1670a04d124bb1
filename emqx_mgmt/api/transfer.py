"""Entity tags, so that an unchanged answer is not sent again, and gzip where the client accepts it."""

from __future__ import annotations

import gzip
import hashlib

import flask
import gevent

# Below this size, compression costs more than it saves. Above THREADED, it is done on a thread, since it would block
# the loop.
WORTH_IT = 1024
THREADED = 1 << 16
LEVEL = 1
COMPRESSED = ("application/json", "text/plain")


def install(app: flask.Flask) -> None:
    @app.after_request
    def transfer(response: flask.Response) -> flask.Response:
        if flask.request.method not in ("GET", "HEAD") or response.status_code != 200:
            return response
        if response.is_streamed or response.mimetype not in COMPRESSED:
            return response
        tag, length = hashlib.sha1(usedforsecurity=False), 0
        for piece in response.iter_encoded():
            tag.update(piece)
            length += len(piece)
        # A weak tag, because it is the same with and without compression.
        response.set_etag(tag.hexdigest(), weak=True)
        response.content_length = length
        response.make_conditional(flask.request.environ)
        response.vary.update(("Accept-Encoding", "X-API-Style", "User-Agent"))
        if response.status_code == 200 and length >= WORTH_IT and flask.request.accept_encodings["gzip"]:
            response.set_data(_compressed(response.get_data()))
            response.headers["Content-Encoding"] = "gzip"
        return response


def _compressed(body: bytes) -> bytes:
    if len(body) < THREADED:
        return gzip.compress(body, LEVEL)
    result: bytes = gevent.get_hub().threadpool.apply(gzip.compress, (body, LEVEL))
    return result
