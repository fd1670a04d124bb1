"""gunicorn's parser of HTTP requests, which yields to the event loop.

A socket of gevent switches greenlets only where it has to wait. A client that sends faster than it is read would be the
only one that is served; so the parser yields before each read and each further request.
"""

from __future__ import annotations

from typing import Any

from gevent.lock import Semaphore
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

from emqx_mgmt.broker.loop.rounds import yield_to_loop

# Read and thrown away of a body that was refused: whoever is still sending sees the answer after that only.
DRAINED = 1 << 24
STEP = 1 << 18

_turn = Semaphore()


def take_turn() -> None:
    """Yields to the event loop; one client continues in each iteration of it."""
    with _turn:
        yield_to_loop()


class FairUnreader(SocketUnreader):
    """Yields to the loop before each read."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        """The next bytes of the connection."""
        take_turn()
        data: bytes = super().chunk(size_hint)
        return data


class FairRequest(Request):
    """Limits the memory of a request's headers."""

    max_buffer_headers: int

    def parse(self, unreader: Any) -> Any:
        """Limits all headers together to eight of the longest kind, since their memory is taken before
        authentication."""
        self.max_buffer_headers = min(self.max_buffer_headers, 8 * (self.limit_request_field_size + 2))
        return super().parse(unreader)

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        """gunicorn searches the whole incomplete head after each piece, which takes the square of its length when it
        comes byte by byte. Here each piece is as long as all before it, 64 KiB at most, or ends the head."""
        enough = len(buf) + min(len(buf), 1 << 16)
        while True:
            searched = max(0, len(buf) - 3)
            super().read_into(unreader, buf, stop)
            if len(buf) >= enough or buf.find(b"\r\n\r\n", searched) >= 0:
                return


class FairParser(RequestParser):
    """Yields to the loop before each request."""

    mesg_class = FairRequest

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        super().__init__(cfg, source, source_addr)
        self.unreader = FairUnreader(source)

    def __next__(self) -> Any:
        if self.unreader.buf.tell():
            take_turn()  # the next request came with the one before
        return super().__next__()

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Reads the rest of a body that the application did not read; False where the connection has to be closed."""
        if not self.mesg or self.mesg.body.failed:
            return not self.mesg
        return any(not self.mesg.body.read(STEP) for _ in range(DRAINED // STEP))
