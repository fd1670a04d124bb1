"""Renewal of certificates while the node runs: new connections get the new certificate, open ones keep the old."""

from __future__ import annotations

import logging
from collections.abc import Callable

from emqx_mgmt.listeners.listener import Listener
from emqx_mgmt.listeners.tls import Stamp

log = logging.getLogger(__name__)

PERIOD_S = 2.0


class Renewal:
    """Calls `renew()` of a listener when one of its TLS files has changed. Files that cannot be used (half written, for
    example) are logged once, and the old ones stay."""

    def __init__(self) -> None:
        self._watched: list[tuple[Listener, Callable[[], None]]] = []
        self._seen: dict[str, Stamp] = {}

    def watch(self, listener: Listener, renew: Callable[[], None]) -> None:
        """`renew()` is called when the listener's TLS files have changed."""
        assert listener.tls is not None
        self._watched.append((listener, renew))
        self._seen[listener.identity] = listener.tls.stamp()

    def look(self) -> None:
        """Renews listeners whose files have changed since the last look."""
        for listener, renew in self._watched:
            assert listener.tls is not None
            stamp = listener.tls.stamp()
            if stamp != self._seen[listener.identity]:
                self._seen[listener.identity] = stamp
                self._renew(listener, renew)

    def read_again(self) -> list[str]:
        """Renews everything, changed or not. Returns a sentence for each listener whose files cannot be used."""
        return [complaint for listener, renew in self._watched if (complaint := self._renew(listener, renew))]

    def _renew(self, listener: Listener, renew: Callable[[], None]) -> str | None:
        try:
            renew()
        except Exception as error:  # errors of OpenSSL and of the system have many classes
            complaint = f"TLS files of {listener} cannot be used; what was read before stays: {error}"
            log.error("%s", complaint)
            return complaint
        log.info("TLS files were read again: %s", listener)
        return None
