"""Access control. In this order: the broker's own topics, the client's own rules, the `client.check_acl` hook, the
rules of the ACL file, `acl_nomatch`.

A message may have several topics on its way: the one of its PUBLISH, those that `module.rewrite` makes of it, and the
one that a delayed message is published to later. Access to each is checked before the message is accepted, and again
when a delayed message is due. Topics below the client's mountpoint are checked without the mountpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import gevent

from emqx_mgmt.broker.auth.client import Client, Ruling, Unavailable
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, deciding
from emqx_mgmt.broker.auth.verdicts import Question, guard
from emqx_mgmt.broker.hooks import HandlerFailed

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.acl_rules import AclRules, Row
    from emqx_mgmt.broker.auth.grants import Grants
    from emqx_mgmt.broker.auth.topic_rules import TopicRule
    from emqx_mgmt.broker.auth.verdicts import Verdicts
    from emqx_mgmt.broker.hooks import Hooks
    from router_ext.engine.channel import Channel
    from router_ext.engine.engine import Engine
    from router_ext.session.zone import Zone

log = logging.getLogger(__name__)

# Verdicts, as the routing core numbers them.
DENY, ALLOW, PENDING, UNAVAILABLE = 0, 1, 2, 4


class Access:
    """`access` is SUBSCRIBE or PUBLISH. A verdict is ALLOW, DENY, or UNAVAILABLE where a handler fails, is late or
    cannot decide. UNAVAILABLE denies too, but is not cached, since it says nothing about the client."""

    def __init__(self, engine: Engine, hooks: Hooks, verdicts: Verdicts, grants: Grants,
                 zone_of: Callable[[str], Zone]) -> None:
        self._engine = engine
        self._hooks = hooks
        self._verdicts = verdicts
        self._grants = grants
        self._zone_of = zone_of
        self._rules: AclRules | None = None

    def use(self, rules: AclRules) -> None:
        """Replaces the rules of the ACL file. Cached verdicts stay until `acl_cache_ttl` is over."""
        self._rules = rules
        self.update()

    def update(self) -> None:
        """Has the routing core check PUBLISH only where a hook or a rule could deny one."""
        hooked = self._hooks.any("client.check_acl")
        may_refuse = self._rules is not None and not self._rules.lets_all_publish
        self._engine.acl_hooked = hooked or may_refuse or self._grants.any_rules()

    def verdict_of_names(self, client: Client, topic: str, zone: Zone, mount: str = "",
                         own: tuple[TopicRule, ...] | None = None) -> int:
        """The verdict about a PUBLISH to `topic` below the mountpoint `mount` ("" for none): for the topics that the
        message will have, the first verdict that is not ALLOW. `own` are the client's own rules while it is not
        connected yet. May switch greenlets if a handler blocks."""
        try:
            names = self._hooks.names(mount + topic)
        except HandlerFailed:
            return UNAVAILABLE
        if any(self._is_reserved(client, name, zone) for name in names):
            return DENY
        if not zone.enable_acl or client.is_super:
            return ALLOW
        verdicts = (self.decide(client, PUBLISH, name.removeprefix(mount), zone, own) for name in names)
        return next((verdict for verdict in verdicts if verdict != ALLOW), ALLOW)

    def verdict_later(self, client: Client, topic: str) -> int:
        """`verdict_of_names` for a delayed message that is due; `topic` has the mountpoint. May switch greenlets if a
        handler blocks."""
        zone = self._zone_of(client.zone)
        mount = client.mountpoint(zone.mountpoint) or ""
        if not topic.startswith(mount):
            mount = ""
        try:
            with gevent.Timeout(self._verdicts.deadline):
                return self.verdict_of_names(client, topic.removeprefix(mount), zone, mount)
        except gevent.Timeout:
            return UNAVAILABLE
        except Exception:
            log.exception("The decision about a delayed message failed; it is tried again")
            return UNAVAILABLE

    def verdict_of_new_name(self, channel: Channel, topic: str, becomes: str) -> int:
        """The verdict about the topic that a handler of `message.publish` has given a message. A topic that the handler
        has not declared (`Renames`) is checked now; UNAVAILABLE where that might block."""
        client, zone = channel.context, channel.zone
        if self._is_reserved(client, becomes, zone):
            return DENY
        if not zone.enable_acl or client.is_super or becomes in self._hooks.names(topic):
            return ALLOW
        if self._hooks.may_block("client.check_acl"):
            return UNAVAILABLE
        name = becomes.removeprefix(channel.mountpoint or "")
        return guard(lambda: self.decide(client, PUBLISH, name, zone), UNAVAILABLE)

    def _is_reserved(self, client: Client, topic: str, zone: Zone) -> bool:
        """Whether no client may publish to the topic, whatever the ACL says. A bridge may publish its own state."""
        if not topic.startswith("$"):
            return False
        if topic == "$SYS" or topic.startswith("$SYS/"):
            own_state = client.is_bridge and topic == f"$SYS/broker/connection/{client.client_id}/state"
            return not (zone.allow_sys_publish or own_state)
        return not (zone.allow_dollar_publish or self._hooks.owns(topic))

    def decide(self, client: Client, access: int, topic: str, zone: Zone,
               own: tuple[TopicRule, ...] | None = None) -> int:
        """The verdict about one topic or filter. May switch greenlets if a handler blocks."""
        rule = deciding(self._grants.rules(client) if own is None else own, client, access, topic)
        if rule is not None:
            return ALLOW if rule.allow else DENY
        try:
            answer = self._hooks.fold("client.check_acl", client, access, topic)
        except HandlerFailed:
            return UNAVAILABLE
        if isinstance(answer, Unavailable):
            return UNAVAILABLE
        if isinstance(answer, Ruling):
            return ALLOW if answer.allow else DENY
        if answer is None and self._rules is not None:
            asked = self._rules.may_publish if access == PUBLISH else self._rules.may_subscribe
            answer = asked(client, topic)
        allowed = zone.acl_nomatch_allow if answer is None else answer
        return ALLOW if allowed else DENY

    def explain_publish(self, client: Client, topic: str, zone: Zone, mount: str) -> tuple[bool, str]:
        """`explain` for the topics that the message will have: of the first that is denied, else of `topic`."""
        names = self._hooks.names(mount + topic)
        if any(self._is_reserved(client, name, zone) for name in names):
            return False, "a $ topic that clients do not publish to (mqtt.allow_sys_publish, mqtt.allow_dollar_publish)"
        said = [self.explain(client, PUBLISH, name.removeprefix(mount), zone) for name in names]
        return next((one for one in said if not one[0]), said[0])

    def explain(self, client: Client, access: int, topic: str, zone: Zone) -> tuple[bool, str]:
        """Whether access is allowed, without the cache, and the rule or part that decides. May switch greenlets if a
        handler blocks."""
        if not zone.enable_acl:
            return True, f"enable_acl is off in zone {zone.name}"
        if client.is_super:
            return True, "super user"
        own = deciding(self._grants.rules(client), client, access, topic)
        if own is not None:
            return own.allow, own.source
        try:
            answer = self._hooks.fold("client.check_acl", client, access, topic)
        except HandlerFailed as failed:
            return False, str(failed)
        if isinstance(answer, Unavailable):
            return False, f"a plugin or module cannot decide: {answer.why}"
        if isinstance(answer, Ruling):
            return answer.allow, answer.source
        if answer is not None:
            return bool(answer), "a plugin or module"
        rules = self._rules
        if rules is not None:
            asked = rules.publish_rule if access == PUBLISH else rules.subscribe_rule
            rule = asked(client, topic)
            if rule is not None:
                return rule.allow, f"acl_file, line {rule.line}"
        return zone.acl_nomatch_allow, "acl_nomatch"

    def check_publish(self, channel: Channel, access: int, topic: bytes) -> int:
        """The verdict about a PUBLISH that is not in the channel's cache. PENDING: the channel is held until then."""
        client, zone, name, mount = channel.context, channel.zone, topic.decode(), channel.mountpoint or ""

        def decision() -> int:
            return self.verdict_of_names(client, name, zone, mount)

        if not (zone.enable_acl and self._hooks.may_block("client.check_acl")):
            return guard(decision, UNAVAILABLE)

        def answered(verdict: int) -> None:
            channel.resume(verdict, access, topic)

        self._verdicts.ask(Question(channel, decision, UNAVAILABLE, answered))
        return PENDING

    def subscribe_rules(self, channel: Channel) -> list[Row]:
        """The rules by which the routing core decides about SUBSCRIBE where no handler sits on the hook points."""
        own = self._grants.subscribe_rows(channel.context)
        return own if self._rules is None else own + self._rules.subscribe_rows(channel.context)

    def check_subscribe(self, channel: Channel, topic_filter: str) -> int:
        """The verdict about one filter of a SUBSCRIBE. Called where the decision may block."""
        if not channel.zone.enable_acl or channel.is_super:
            return ALLOW
        key = topic_filter.encode()
        cached = channel.cached_verdict(SUBSCRIBE, key)
        if cached is not None:
            return ALLOW if cached else DENY
        verdict = self.decide(channel.context, SUBSCRIBE, topic_filter, channel.zone)
        if verdict != UNAVAILABLE:
            channel.cache_verdict(SUBSCRIBE, key, verdict == ALLOW)
        return verdict
