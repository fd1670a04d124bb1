"""Automatic subscriptions: each new session begins with them (behaviour of EMQ X 3, section 18.2)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from emqx_mgmt.broker.auth.templates import filled
from router_ext.engine.subscribe import mounted

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from router_ext.session.session import Session

log = logging.getLogger(__name__)


class AutoSubscribe:
    """`rows`: (filter, QoS); `%c` and `%u` stand for client id and user name where they are a whole level. A client
    whose values do not fit there, or make the filter too long, does not get that subscription."""

    def __init__(self, broker: Broker, rows: list[tuple[str, int]]) -> None:
        self._broker = broker
        self._rows = rows

    def start(self) -> None:
        """Adds its handler."""
        self._broker.hooks.add("session.created", self.created)

    def created(self, session: Session) -> None:
        """Handler of `session.created`: subscribes the session to each topic of the settings."""
        channel = session.channel
        assert channel is not None
        for template, qos in self._rows:
            topic = filled(template, session.client_id, session.username)
            below = None if topic is None else mounted(channel, topic)
            if below is None:
                log.warning("Client %.100r is not subscribed to %s: its client id or user name does not fit there",
                            session.client_id, template)
            else:
                log.debug("Client %.100r is subscribed to %.100r with QoS %d", session.client_id, below, qos)
                self._broker.subscribe(session.client_id, below, qos)
