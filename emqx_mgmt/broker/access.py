"""Access control: the ACL chain over the `client.check_acl` hook, `acl_nomatch` at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emqx_mgmt.broker.client import Client

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker
    from router_ext.channel import Channel
    from router_ext.zone import Zone

SUBSCRIBE = 1
PUBLISH = 2
# What the routing core understands.
DENY, ALLOW, PENDING = 0, 1, 2


class Access:
    """`access` is SUBSCRIBE or PUBLISH."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def decide(self, client: Client, access: int, topic: str, zone: Zone) -> bool:
        """Asks the chain; may switch greenlets if a handler blocks."""
        answer = self._broker.hooks.fold("client.check_acl", client, access, topic)
        return zone.acl_nomatch_allow if answer is None else bool(answer)

    def check_publish(self, channel: Channel, access: int, topic: bytes) -> int:
        """A verdict the cache did not have. PENDING: the channel is held until the chain has answered."""
        client, zone, name = channel.context, channel.zone, topic.decode()
        if not self._broker.hooks.may_block("client.check_acl"):
            return ALLOW if self._broker.guard(lambda: self.decide(client, access, name, zone), False) else DENY

        def answered(allowed: bool) -> None:
            channel.resume(allowed, access, topic)

        self._broker.verdicts.ask(lambda: self.decide(client, access, name, zone), False, answered)
        return PENDING

    def may_subscribe(self, channel: Channel, topic_filter: str) -> bool:
        """For a SUBSCRIBE, whose decision runs where the chain may block."""
        if not channel.zone.enable_acl or channel.is_super or not self._broker.engine.acl_hooked:
            return True
        key = topic_filter.encode()
        cached = channel.cached_verdict(SUBSCRIBE, key)
        if cached is None:
            cached = self.decide(channel.context, SUBSCRIBE, topic_filter, channel.zone)
            channel.cache_verdict(SUBSCRIBE, key, cached)
        return bool(cached)
