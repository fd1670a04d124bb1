"""Listeners for the API: a list, and stopping and starting MQTT listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.manage import rows
from emqx_mgmt.manage.errors import RequestRefused, Unknown

if TYPE_CHECKING:
    from emqx_mgmt.listeners import Listener
    from emqx_mgmt.node import Node

OF_HTTP = "only MQTT listeners can be stopped and started while the broker runs"


class Listeners:
    def __init__(self, node: Node) -> None:
        self._node = node

    def all(self, extended: bool = False) -> list[rows.Listener]:
        """MQTT listeners by protocol and address, bare ports first; then those over HTTP by name."""
        row = self._extended_row if extended else _row
        return [row(listener) for listener in sorted(self._node.listeners, key=_rank)]

    def start(self, identifier: str) -> None:
        """Starts a listener. Raises Unknown; RequestRefused where it runs, is no MQTT listener, or its port is in
        use."""
        listener = self._find(identifier)
        if self._runs(listener):
            raise RequestRefused("already_started")
        try:
            self._node.start_listener(listener)
        except OSError as error:
            raise RequestRefused(f"{listener} cannot be started: {error.strerror}") from None

    def stop(self, identifier: str) -> None:
        """Stops a listener and disconnects its clients. Raises Unknown; RequestRefused where it does not run or is no
        MQTT listener."""
        listener = self._find(identifier)
        if not self._runs(listener):
            raise RequestRefused("not_started")
        self._node.stop_listener(listener)

    def restart(self, identifier: str) -> None:
        """Stops a listener and starts it again, or starts a stopped one."""
        if self._runs(self._find(identifier)):
            self.stop(identifier)
        self.start(identifier)

    def _find(self, identifier: str) -> Listener:
        for listener in self._node.listeners:
            if listener.identifier == identifier:
                if not self._node.can_stop(listener):
                    raise RequestRefused(OF_HTTP)
                return listener
        raise Unknown(identifier)

    def _runs(self, listener: Listener) -> bool:
        return self._node.accepts(listener)

    def _extended_row(self, listener: Listener) -> rows.ExtendedListener:
        running = self._runs(listener) or not self._node.can_stop(listener)
        return rows.ExtendedListener(*_members(listener), listener.identifier, running)


def _row(listener: Listener) -> rows.Listener:
    return rows.Listener(*_members(listener))


def _members(listener: Listener) -> tuple[int, int, str, int, str, dict[str, int] | list[object]]:
    return (listener.acceptors, listener.current_conns, listener.listen_on, listener.max_conns, listener.protocol,
            dict(listener.shutdown_count) or [])


def _rank(listener: Listener) -> tuple[bool, str, bool, str]:
    over_http = listener.protocol not in ("mqtt:tcp", "mqtt:ssl")
    return over_http, listener.protocol, ":" in listener.listen_on, listener.listen_on
