"""Grants of connected clients: when their connections end, and ACL rules of their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.topic_rules import SUBSCRIBE, TopicRule

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.acl_rules import Row
    from emqx_mgmt.broker.auth.client import Client, Grant
    from emqx_mgmt.broker.loop.timers import Timer
    from router_ext.engine.channel import Channel

LONGEST_S = 365 * 24 * 3600.0   # of a timer; by then the connection was long ended, or is looked at again


class Grants:
    """`after(seconds, call)` sets a timer; `changed()` is called when the first client with rules connects and when the
    last one is gone. `any` is False while no grant has rules or an end, so that other connections cost nothing."""

    def __init__(self, after: Callable[[float, Callable[[], None]], Timer], changed: Callable[[], None]) -> None:
        self._after = after
        self._changed = changed
        self._ends: dict[Channel, Timer] = {}
        self._rules: dict[str, tuple[Channel, tuple[TopicRule, ...]]] = {}
        self.any = False

    def begin(self, channel: Channel, client: Client, grant: Grant) -> None:
        """The grant of a connection, in place of the one it had."""
        self.end(channel, client)
        if grant.expires_at is not None:
            self._ends[channel] = self._at(channel, grant.expires_at)
        if grant.rules:
            self._rules[client.client_id] = channel, grant.rules
            if len(self._rules) == 1:
                self._changed()
        self.any = bool(self._ends or self._rules)

    def _at(self, channel: Channel, expires_at: float) -> Timer:
        left = expires_at - time.time()
        if left > LONGEST_S:
            return self._after(LONGEST_S, lambda: self._ends.update({channel: self._at(channel, expires_at)}))
        return self._after(max(0.0, left), lambda: channel.close("token_expired", reasons.MAXIMUM_CONNECT_TIME))

    def end(self, channel: Channel, client: Client) -> None:
        """The connection is over. A connection that took over its client id keeps its own grant."""
        if self._ends and (timer := self._ends.pop(channel, None)):
            timer.cancel()
        if self._rules and client.client_id in self._rules and self._rules[client.client_id][0] is channel:
            del self._rules[client.client_id]
            if not self._rules:
                self._changed()
        self.any = bool(self._ends or self._rules)

    def any_rules(self) -> bool:
        """Whether any connected client has rules of its own."""
        return bool(self._rules)

    def subscribe_rows(self, client: Client) -> list[Row]:
        """The client's own rules about SUBSCRIBE, in the form of the routing core."""
        return [row for rule in self.rules(client) if rule.access & SUBSCRIBE and (row := rule.row(client)) is not None]

    def rules(self, client: Client) -> tuple[TopicRule, ...]:
        """The client's own."""
        return self._rules[client.client_id][1] if client.client_id in self._rules else ()
