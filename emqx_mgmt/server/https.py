"""HTTPS: servers of our own beside gunicorn's, which share one TLS context; requests go the same way from there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket as gevent_socket

from emqx_mgmt.listeners import Listener

Serve = Callable[[Listener, Any, Any, Any], None]


class HttpsServer:
    """Serves one listener. `serve(listener, listening socket, connection, address)` is the worker's; a TLS handshake
    may take `handshake_s` seconds."""

    def __init__(self, listener: Listener, serve: Serve, handshake_s: float) -> None:
        assert listener.sock is not None
        assert listener.tls is not None
        self.listener = listener
        self._serve = serve
        self._handshake_s = handshake_s
        self._options = listener.tls
        self._context = listener.tls.http_context()
        sock = gevent_socket(listener.sock.family, listener.sock.type, fileno=listener.sock.detach())
        self.sock = listener.sock = sock
        self._server = StreamServer(sock, handle=self._shake, spawn=Pool(listener.max_conns))

    def renew(self) -> None:
        """Connections from now on get what is in the files."""
        self._context = self._options.http_context()

    def start(self) -> None:
        self._server.start()

    def close(self) -> None:
        """No new connections."""
        self._server.close()

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def _shake(self, client: Any, address: Any) -> None:
        """The handshake, under a deadline, then HTTP."""
        with contextlib.closing(client), self.listener.place(address) as admitted:
            if not admitted:
                return
            try:
                with gevent.Timeout(self._handshake_s):
                    secured = self._context.wrap_socket(client, server_side=True)
            except gevent.Timeout:
                self.listener.count("handshake_timeout")
            except OSError:  # OpenSSL's errors are such
                self.listener.count("handshake_failed")
            else:
                self._serve(self.listener, self.sock, secured, address)
