"""Serves the management API on the control socket."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket as gevent_socket

from emqx_mgmt.listeners.control import bind, user_of
from emqx_mgmt.server.listening import Listening

CONNECTIONS = 16
BACKLOG = 16
ROOT = 0


class ControlServer:
    """`handle(listening, connection, address)` serves a connection."""

    def __init__(self, data_dir: Path, handle: Callable[[Listening, Any, Any], None]) -> None:
        self._handle = handle
        self._sock = gevent_socket(socket.AF_UNIX, socket.SOCK_STREAM)
        bind(self._sock, data_dir)
        self._sock.listen(BACKLOG)
        self._listening = Listening(self._sock)
        self._server = StreamServer(self._sock, handle=self._serve, spawn=Pool(CONNECTIONS))

    def start(self) -> None:
        """Accepts from now on."""
        self._server.start()

    def stop(self) -> None:
        """The name of the socket stays, since it may be another worker's by now."""
        self._server.stop(timeout=1)

    def _serve(self, client: Any, address: Any) -> None:
        with contextlib.closing(client):
            if user_of(client) in (ROOT, os.geteuid()):
                self._handle(self._listening, client, address)
