"""HTTPS: servers beside gunicorn's. Requests are handled as those of gunicorn's are."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket as gevent_socket

from emqx_mgmt.listeners import Listener
from emqx_mgmt.server.listening import Listening

log = logging.getLogger(__name__)

Serve = Callable[[Listener, Listening, Any, Any], None]
PAUSE_S = 0.1


class PacedServer(StreamServer):
    """Accepts connections at the listener's rate, by a bucket that holds those of a tenth of a second. Further
    connections wait in the kernel."""

    max_accept = 1  # of those that the poller tells of

    def __init__(self, listener: Listener, sock: Any, handle: Callable[[Any, Any], None]) -> None:
        super().__init__(sock, handle=handle, spawn=Pool(listener.max_conns + 1))  # one to be refused, and counted
        self._listener = listener
        self._tokens = 0.0
        self._refilled = 0.0

    def do_read(self) -> Any:
        """Accepts a connection, or pauses where the rate is used up."""
        if not self.over_rate(time.monotonic()):
            return super().do_read()
        self._listener.hurried()
        self.stop_accepting()
        gevent.spawn_later(PAUSE_S, self.go_on)
        return None

    def over_rate(self, now: float) -> bool:
        """Whether the bucket is empty at `now`, monotonic seconds; else one token is taken."""
        rate = self._listener.max_conn_rate
        if rate == 0:
            return False
        self._tokens = min(max(1.0, rate * 0.1), self._tokens + (now - self._refilled) * rate)
        self._refilled = now
        if self._tokens < 1.0:
            return True
        self._tokens -= 1.0
        return False

    def go_on(self) -> None:
        """Accepts again, unless the server was stopped meanwhile."""
        if self.started:
            self.start_accepting()


class HttpsServer:
    """Serves one listener. `serve(listener, listening, connection, address)` is called after the TLS handshake,
    which may take `handshake_s` seconds."""

    def __init__(self, listener: Listener, serve: Serve, handshake_s: float) -> None:
        assert listener.sock is not None
        assert listener.tls is not None
        self.listener = listener
        self._serve = serve
        self._handshake_s = handshake_s
        self._options = listener.tls
        self._context = listener.tls.http_context()
        sock = gevent_socket(listener.sock.family, listener.sock.type, fileno=listener.sock.detach())
        listener.sock = sock
        self._listening = Listening(sock)
        self._server = PacedServer(listener, sock, self._shake)

    def renew(self) -> None:
        """New connections get the certificate that the files have now."""
        self._context = self._options.http_context()

    def start(self) -> None:
        """Accepts from now on."""
        self._server.start()

    def close(self) -> None:
        """Accepts no more connections."""
        self._server.close()

    def stop(self) -> None:
        """Accepts no more; open requests have a second."""
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
            except OSError as error:  # OpenSSL's errors are such
                self.listener.count("handshake_failed")
                log.debug("TLS handshake at %s, of %s, failed: %s", self.listener, address[0], error)
            else:
                self._serve(self.listener, self._listening, secured, address)
