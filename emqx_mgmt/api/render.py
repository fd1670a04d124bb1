"""Results in the two styles of the v3 API.

`bare` is the reference document's: the value itself, lists under `items`, `"ok"`. `envelope` is what the
releases send: `{"code":0,"data":…,"meta":…}`, always HTTP 200. Counter names come with slashes or, as v3.2
has them, with dots. `style.py` chooses.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import flask
import msgspec

from emqx_mgmt.api.names import dotted
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from emqx_mgmt.manage.listing import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from emqx_mgmt.broker.telemetry.event_subscriber import EventSubscriber

# Seconds between two checks whether a stream may continue, and the number of checks without an event after which a
# comment is sent.
CHECK_S, HEARTBEAT = 1.0, 10
COMMENT = b":\n\n"
TCP_ESTABLISHED = 1  # states in <netinet/tcp.h>

# Rows in one piece of a long list: encoding, hashing or sending it takes some tenths of a millisecond.
PIECE = 500
# Bytes read of a file at a time.
READ = 1 << 16

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Done:
    """The result of an action that returns nothing."""


@dataclass(frozen=True, slots=True)
class Code:
    """The result of an action that returns a code, which both styles show."""

    code: int = 0


def has_hung_up(sock: socket.socket | None) -> bool:
    """Whether the peer has closed its side of a TCP connection. Without this check, only the second write would fail,
    and a stream without events would last until then."""
    if sock is None or sock.family == socket.AF_UNIX:
        return False
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED


class EventStream:
    """Server-sent events, the same in both styles. The stream ends when either side ends it, or when the caller loses
    the right to it.

    An iterator of pieces for WSGI. It is no generator, because a generator's `close` does nothing before the first
    piece was taken.
    """

    def __init__(self, subscriber: EventSubscriber, may_go_on: Callable[[], bool]) -> None:
        self._subscriber = subscriber
        self._may_go_on = may_go_on
        self._socket = flask.request.environ.get("gunicorn.socket")
        self._begun = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The first piece is a comment, and further ones are sent at intervals, so that the peer and proxies see a live
        connection."""
        if not self._begun:
            self._begun = True
            return COMMENT
        for _ in range(HEARTBEAT):
            news = self._subscriber.take(CHECK_S)
            if news is None or not self._may_go_on() or has_hung_up(self._socket):
                raise StopIteration
            if news:
                return news
        return COMMENT

    def close(self) -> None:
        self._subscriber.end()


@dataclass(frozen=True, slots=True)
class Download:
    """A zip file, closed once it is sent."""

    file: IO[bytes]

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(READ), b"")

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True, slots=True)
class Created:
    """A new record, HTTP 201 in the bare style."""

    value: Any


@dataclass(frozen=True, slots=True)
class Counters:
    """Numbers by name: under `key` where that is given, beside `node` where that is given. `later` are numbers that
    only v3.2 has; they are shown with v3.2's names."""

    values: Mapping[str, int]
    later: Mapping[str, int]
    node: str | None = None
    key: str | None = None

    def shown(self, names: str) -> dict[str, Any]:
        values = dotted({**self.values, **self.later}) if names == "dots" else self.values
        about: dict[str, Any] = {} if self.node is None else {"node": self.node}
        return about | ({self.key: values} if self.key is not None else dict(values))


def respond(result: Any) -> flask.Response:
    envelope = flask.g.style == "envelope"
    if isinstance(result, Done):
        return _json({"code": 0} if envelope else "ok")
    if isinstance(result, Code):
        return _json({"code": result.code})
    if isinstance(result, Created):
        return _json({"code": 0, "data": result.value}) if envelope else _json(result.value, 201)
    if isinstance(result, Page):
        return _page(result, "data" if envelope else "items", b'"code":0,' if envelope else b"")
    if isinstance(result, EventStream):
        return flask.Response(result, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    if isinstance(result, Download):
        return flask.Response(result, content_type="application/zip",
                              headers={"Content-Length": str(os.fstat(result.file.fileno()).st_size)})
    value = _named(result)
    return _json({"code": 0, "data": value} if envelope else value)


def plain(value: Any) -> flask.Response:
    """JSON in neither style."""
    return _json(value)


def failure(status: int, code: int, message: str, bare: Any) -> flask.Response:
    flask.g.failure = message  # for the audit record
    if flask.g.style == "envelope":
        return _json({"code": code, "message": message})
    return _json(bare, status)


def _named(result: Any) -> Any:
    if isinstance(result, Counters):
        return result.shown(flask.g.names)
    if isinstance(result, list) and result and isinstance(result[0], Counters):
        return [counters.shown(flask.g.names) for counters in result]
    return result


class Pieces(list[bytes]):
    """A long body. Iterating over it yields to the event loop after each piece."""

    def __iter__(self) -> Iterator[bytes]:
        for position, piece in enumerate(super().__iter__()):
            if position:
                yield_to_loop()
            yield piece


def _page(page: Page, key: str, before: bytes) -> flask.Response:
    meta = {"page": page.paging.page, "limit": page.paging.limit} | (
        {"count": page.count} if page.paging.counted else {"hasnext": page.has_next})
    body = Pieces(_encoded(page.items, b'{%b"%b":[' % (before, key.encode())))
    body[-1] += b'],"meta":%b}' % _encoder.encode(meta)
    return _reply(body, 200)


def _encoded(items: Sequence[Any], lead: bytes) -> Iterator[bytes]:
    for start in range(0, max(len(items), 1), PIECE):
        if start:
            yield_to_loop()
            lead = b","
        yield lead + _encoder.encode(items[start : start + PIECE])[1:-1]


def _json(value: Any, status: int = 200) -> flask.Response:
    return _reply([_encoder.encode(value)], status)


def _reply(body: list[bytes], status: int) -> flask.Response:
    return flask.Response(body, status, content_type="application/json")
