"""The address of a listening socket, for as long as connections that it accepted are served."""

from __future__ import annotations

from typing import Any


class Listening:
    """Passed to gunicorn in place of the socket, of which it asks only the name. A closed socket could not tell it, and
    the connections accepted last, whose greenlets start after the close, would be closed without an answer."""

    def __init__(self, sock: Any) -> None:
        self._name = sock.getsockname()

    def getsockname(self) -> Any:
        """An address pair, or the path of a Unix socket."""
        return self._name
