"""The rules of the ACL file. The first one that matches client and topic decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.templates import filled, is_level, is_plain
from emqx_mgmt.settings.acl_file import ACL_PUBLISH, ACL_SUBSCRIBE, Network, Rule, TopicRule, Who
from emqx_mgmt.settings.addresses import parse_address
from router_ext.protocol.topic import topic_matches

# A rule for the routing core: whether it allows, whether its text is a topic and no filter, the text (None: all).
Row = tuple[bool, bool, bytes | None]


class AclRules:
    """The rules in their order, divided by the kind of access."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        rules = list(rules)
        self._publish = [rule for rule in rules if ACL_PUBLISH in rule.access]
        self._subscribe = [rule for rule in rules if ACL_SUBSCRIBE in rule.access]

    @property
    def lets_all_publish(self) -> bool:
        """Whether a rule allows every PUBLISH before any rule denies one: then no PUBLISH has to be checked."""
        for rule in self._publish:
            if not rule.allow:
                return False
            if rule.topics is None and rule.who.kind == "all":
                return True
        return False

    def may_publish(self, client: Client, topic: str) -> bool | None:
        """None when no rule matches."""
        return _verdict(_deciding(self._publish, client, topic))

    def may_subscribe(self, client: Client, topic_filter: str) -> bool | None:
        """Compares the filter of the SUBSCRIBE with the filters of the rules as if it were a topic."""
        return _verdict(_deciding(self._subscribe, client, topic_filter))

    def subscribe_rows(self, client: Client) -> list[Row]:
        """The rules that are about this client, one row for each topic, in the form of the routing core."""
        return [row for rule in self._subscribe if _is_about(rule, rule.who, client) for row in _rows(rule, client)]

    def publish_rule(self, client: Client, topic: str) -> Rule | None:
        """The rule that decides about the topic; None where none does."""
        return _deciding(self._publish, client, topic)

    def subscribe_rule(self, client: Client, topic_filter: str) -> Rule | None:
        """The rule that decides about the filter; None where none does."""
        return _deciding(self._subscribe, client, topic_filter)


def _deciding(rules: list[Rule], client: Client, topic: str) -> Rule | None:
    for rule in rules:
        if _is_about(rule, rule.who, client) and _covers(rule, client, topic):
            return rule
    return None


def _verdict(rule: Rule | None) -> bool | None:
    return None if rule is None else rule.allow


def _is_about(rule: Rule, who: Who, client: Client) -> bool:
    """`who` is the rule's, or a member of it."""
    match who.kind:
        case "all":
            return True
        case "user":
            return who.name is None or client.username == who.name
        case "client":
            return who.name is None or client.client_id == who.name
        case "and":
            return all(_is_about(rule, member, client) for member in who.members)
        case "or":
            return any(_is_about(rule, member, client) for member in who.members)
    return who.network is not None and _comes_from(who.network, client, rule.allow)


def _comes_from(network: Network, client: Client, allows: bool) -> bool:
    """A rule that allows a loopback address does not hold for a relayed connection; one that denies it does."""
    if allows and client.relayed and network.is_loopback:
        return False
    return _address(client.peer[0]) in network


_address = lru_cache(maxsize=1024)(parse_address)


def _rows(rule: Rule, client: Client) -> Iterator[Row]:
    if rule.topics is None:
        yield rule.allow, False, None
    for topic in rule.topics or ():
        text = topic.text if topic.literal else _filled(topic.text, client, rule.allow)
        if text is not None:
            yield rule.allow, topic.literal, text.encode()


def _covers(rule: Rule, client: Client, topic: str) -> bool:
    if rule.topics is None:
        return True
    return any(_matches(one, client, topic, rule.allow) for one in rule.topics)


def _matches(rule: TopicRule, client: Client, topic: str, allow: bool) -> bool:
    if rule.literal:
        return rule.text == topic
    text = _filled(rule.text, client, allow)
    return text is not None and topic_matches(text, topic)


def _filled(topic_filter: str, client: Client, allow: bool) -> str | None:
    """None for a name that must not widen the filter. A rule that denies takes a leading `$` too: it would otherwise be
    escaped by such a name."""
    return filled(topic_filter, client.client_id, client.username, is_plain if allow else is_level)
