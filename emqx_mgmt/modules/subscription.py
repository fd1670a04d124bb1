"""Automatic subscriptions: each new session begins with them (behaviour of EMQ X 3, section 18.2)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from emqx_mgmt.broker.subscribing import mounted
from router_ext.topic import split_share, valid_filter

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from router_ext.session import Session

log = logging.getLogger(__name__)


class AutoSubscribe:
    """`rows`: (filter, QoS); `%c` and `%u` stand for client id and user name where they are a whole level."""

    def __init__(self, broker: Broker, rows: list[tuple[str, int]]) -> None:
        self._broker = broker
        self._rows = rows

    def start(self) -> None:
        self._broker.hooks.add("session.created", self.created)

    def created(self, session: Session) -> None:
        for template, qos in self._rows:
            topic = filled(template, session)
            try:
                valid = valid_filter(split_share(topic)[1])
            except ValueError:
                valid = False
            if valid:
                log.debug("%s is subscribed to %s with QoS %d", session.client_id, topic, qos)
                self._broker.subscribe(session.client_id, mounted(session.channel, topic), qos)
            else:
                log.warning("%s is not subscribed to %s: that is no topic filter", session.client_id, topic)


def filled(template: str, session: Session) -> str:
    """A client cannot bring wildcards in: a level that has them stays as it was written."""
    values = {"%c": session.client_id, "%u": session.username}
    return "/".join(word if unsafe(values.get(word)) else values[word] for word in template.split("/"))


def unsafe(value: str | None) -> bool:
    return value is None or not value or any(sign in value for sign in "+#/")
