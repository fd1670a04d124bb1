"""An HTTP client takes what it is given of the broker's time, however fast or in whatever pieces it sends."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser

from emqx_mgmt.server.parser import FairParser
from emqx_mgmt.server.request_line import LONGEST_REQUEST_LINE

CONNECT = bytes.fromhex("100e00044d5154540402003c00") + b"\x0266"
POST = b"POST /api/v3/mqtt/publish HTTP/1.1\r\nHost: x\r\n"  # without credentials
AS_LONG_AS_MAY_BE = LONGEST_REQUEST_LINE - 100


def line(target: bytes) -> bytes:
    return b"GET /" + target[:AS_LONG_AS_MAY_BE] + b" HTTP/1.1\r\nHost: x\r\n\r\n"


FLOODS = {
    "a body": (POST + b"Content-Length: 1000000000000\r\n\r\n", b"x" * (1 << 20)),
    "a chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", b"x" * (1 << 20)),
    "small chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 50_000),
    "requests": (b"", b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000),
    "refused requests": (b"", b"GET /api/v3/brokers/ HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000),
    "lines of escapes": (b"", line(b"%" * AS_LONG_AS_MAY_BE)),
    "lines of slashes": (b"", line(b"a/" * AS_LONG_AS_MAY_BE)),
    "lines of parameters": (b"", line(b"?" + b"a&" * AS_LONG_AS_MAY_BE)),
    "lines beyond ASCII": (b"", line(b"\xc3\xa9" * AS_LONG_AS_MAY_BE)),
}


def discard(sock: socket.socket) -> None:
    with suppress(OSError):
        while sock.recv(1 << 16):
            pass


def flood(port: int, first: bytes, then: bytes, enough: threading.Event) -> None:
    """Without a pause, over one connection after the other where they are ended."""
    while not enough.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
            reader = threading.Thread(target=discard, args=(sock,))
            reader.start()
            with suppress(OSError):
                sock.sendall(first)
                while not enough.is_set():
                    sock.send(then)
            sock.shutdown(socket.SHUT_RDWR)
            reader.join()


@pytest.mark.parametrize("kind", FLOODS)
def test_who_sends_without_a_pause_keeps_nobody_waiting(broker, kind):
    enough = threading.Event()
    sending = threading.Thread(target=flood, args=(broker.api_port, *FLOODS[kind], enough))
    with socket.create_connection(("127.0.0.1", broker.mqtt_port), timeout=10) as client:
        client.sendall(CONNECT)
        assert client.recv(4) == b"\x20\x02\x00\x00"
        sending.start()
        began = time.monotonic()
        try:
            for _ in range(100):
                client.sendall(b"\xc0\x00")
                assert client.recv(2) == b"\xd0\x00"
            assert time.monotonic() - began < 15
        finally:
            enough.set()
            sending.join()


@dataclass
class Pieces:
    """A socket that gives a request's head in these pieces."""

    pieces: list[bytes]

    def recv(self, size: int) -> bytes:
        return self.pieces.pop(0)


def cost(parser: type[RequestParser]) -> float:
    """Of a long head, whose end comes byte by byte, in seconds of the processor."""
    head = [b"GET /" + b"a" * 300_000, *[b"a"] * 3_000, b" HTTP/1.1\r\nHost: x\r\n\r\n"]
    config = Config()
    config.set("limit_request_line", LONGEST_REQUEST_LINE)
    began = time.process_time()
    request = next(parser(config, Pieces(head), ("127.0.0.1", 1)))
    assert request.path == "/" + "a" * 303_000
    return time.process_time() - began


def test_a_long_head_byte_by_byte_is_not_looked_through_for_each_byte():
    """As gunicorn's own parser does."""
    assert 3 * min(cost(FairParser) for _ in range(3)) < cost(RequestParser)
