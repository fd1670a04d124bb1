"""Acceptors of MQTT listeners; each can be stopped and started while the node runs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.proxy import read_header
from emqx_mgmt.listeners.renewal import Renewal
from router_ext.engine.reactor import Acceptor

if TYPE_CHECKING:
    from router_ext.engine.reactor import Reactor
    from router_ext.session.zone import Zone


class Acceptors:
    """`zone_of(name)` is the record of a zone. The master has a listener's socket too, so stopping means that the
    socket no longer listens, for all processes that have it."""

    def __init__(self, reactor: Reactor, zone_of: Callable[[str], Zone], renewal: Renewal) -> None:
        self._reactor = reactor
        self._zone_of = zone_of
        self._renewal = renewal
        self._acceptors: dict[Listener, Acceptor] = {}

    def add(self, listener: Listener) -> None:
        """Begins to accept connections of a listener whose socket is open. Raises OSError."""
        assert listener.sock is not None
        # Accepted sockets inherit the option: without Nagle's algorithm, acknowledgements are not delayed.
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        acceptor = Acceptor(
            listener.sock.fileno(), self._zone_of(listener.zone), listener,
            tls=listener.tls.context() if listener.tls else None,
            websocket=listener.websocket,
            read_proxy_header=read_header if listener.guard.trusted is not None else None,
            max_rate=listener.max_conn_rate,
        )
        self._acceptors[listener] = acceptor
        self.start(listener)
        tls = listener.tls
        if tls is not None:
            self._renewal.watch(listener, lambda: acceptor.renew(tls.context()))

    def __contains__(self, listener: Listener) -> bool:
        return listener in self._acceptors

    def accepts(self, listener: Listener) -> bool:
        return self._acceptors.get(listener) in self._reactor.acceptors

    def start(self, listener: Listener) -> None:
        """Starts a listener. Raises OSError. The socket may be listening already, if no earlier worker has stopped it;
        then this changes nothing."""
        assert listener.sock is not None
        listener.sock.listen(listener.backlog)
        self._reactor.listen(self._acceptors[listener])

    def stop(self, listener: Listener) -> None:
        """Stops a listener: the system refuses new connections, and those that wait to be accepted."""
        assert listener.sock is not None
        self._reactor.stop_listening(self._acceptors[listener])
        listener.sock.shutdown(socket.SHUT_RDWR)

    def stop_all(self) -> None:
        """Stops accepting without refusing connections, since another worker may continue with the sockets."""
        for acceptor in list(self._reactor.acceptors):
            self._reactor.stop_listening(acceptor)
