"""Rewriting of topics, for publish, subscribe and unsubscribe (behaviour of EMQ X 3, section 18.3)."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.hooks import Renames
from emqx_mgmt.broker.refused import PacketRefused
from emqx_mgmt.broker.subscribing import paced
from emqx_mgmt.settings.expression import linear
from router_ext.message.message import Message
from router_ext.protocol.topic import split_share, topic_matches, valid_filter, valid_name

if TYPE_CHECKING:
    from emqx_mgmt.broker import Broker
    from emqx_mgmt.broker.auth.client import Client
    from emqx_mgmt.settings import RewriteRule


log = logging.getLogger(__name__)

# An expression takes up to half a microsecond for each byte.
LONGEST_TOPIC = 4096


class TooLong(Exception):
    """A rule's filter matches a topic that is longer than LONGEST_TOPIC."""


@dataclass(slots=True)
class Rule:
    """A topic that `topic_filter` and `pattern` match becomes `destination`."""

    topic_filter: str
    pattern: Any
    destination: str

    def apply(self, topic: str) -> str:
        """The new name: the topic itself where the rule's pattern does not fit. Raises TooLong."""
        if len(topic.encode()) > LONGEST_TOPIC:
            raise TooLong
        found = self.pattern.search(topic)
        if found is None:
            return topic
        return re.sub(r"\$(\d+)", lambda group: found.group(int(group[1])) or "", self.destination)


class Rewrite:
    """The first rule whose filter matches a topic decides about it, also when its expression does not."""

    def __init__(self, broker: Broker, rules: list[RewriteRule | None]) -> None:
        self._broker = broker
        self._rules = [Rule(rule.topic_filter, linear(rule.expression), rule.destination)
                       for rule in rules if rule is not None]
        self._latest: Message | None = None  # it passes a second handler when two prefixes are hooked

    def start(self) -> None:
        """Adds its handlers: one for each prefix of a rule's filter."""
        hooks, renames = self._broker.hooks, Renames(self.next_name)
        for prefix in apart([literal_prefix(rule.topic_filter) for rule in self._rules]):
            hooks.add("message.publish", self.rewrite_message, prefix=prefix, renames=renames)
        if self._rules:
            hooks.add("client.subscribe", self.rewrite_subscribe)
            hooks.add("client.unsubscribe", self.rewrite_unsubscribe)

    def rewritten(self, topic: str) -> str:
        """The topic by the first rule whose filter matches it. Raises TooLong."""
        for rule in self._rules:
            if topic_matches(rule.topic_filter, topic):
                return rule.apply(topic)
        return topic

    def rewritten_name(self, topic: str) -> str:
        """The rewritten topic, or the topic itself where the result would be no valid topic name. Raises TooLong."""
        becomes = self.rewritten(topic)
        return becomes if valid_name(becomes) else topic

    def next_name(self, topic: str) -> str:
        """The rewritten topic for access control. A topic that is too long, which will be refused, is returned
        unchanged."""
        try:
            return self.rewritten_name(topic)
        except TooLong:
            return topic

    def rewrite_message(self, message: Message) -> Message | PacketRefused:
        """Refuses a topic that is too long."""
        if message is self._latest:
            return message
        try:
            topic = self.rewritten_name(message.topic)
        except TooLong:
            log.warning("A message of client %.100r is dropped: its topic, for which module.rewrite has a rule, is "
                        "longer than %d bytes", message.client_id, LONGEST_TOPIC)
            return PacketRefused(reasons.TOPIC_NAME_INVALID, f"a topic that module.rewrite has a rule for is longer "
                                                             f"than {LONGEST_TOPIC} bytes")
        if topic == message.topic:
            return message
        log.debug("A message of client %.100r to %.100r goes to %.100r", message.client_id, message.topic, topic)
        self._latest = Message.create(topic, message.payload, message.qos, message.retain, message.client_id,
                                      message.properties, message.expiry, message.arrived)
        return self._latest

    def rewrite_subscribe(self, codes: list[int], _client: Client, filters: list[tuple[str, int]]) -> list[int]:
        """Handler of `client.subscribe`: replaces filters in place."""
        for i, (topic, options) in enumerate(paced(filters)):
            try:
                filters[i] = self.rewritten_filter(topic), options
            except TooLong:
                codes[i] = reasons.TOPIC_FILTER_INVALID
        return codes

    def rewrite_unsubscribe(self, _client: Client, filters: list[str]) -> None:
        """Handler of `client.unsubscribe`: replaces filters in place."""
        for i, topic in enumerate(paced(filters)):
            with suppress(TooLong):  # such a filter was never subscribed
                filters[i] = self.rewritten_filter(topic)

    def rewritten_filter(self, topic: str) -> str:
        """A shared subscription keeps its group."""
        try:
            _, inner = split_share(topic)
        except ValueError:
            return topic
        becomes = self.rewritten(inner)
        return topic[:len(topic) - len(inner)] + becomes if valid_filter(becomes) else topic


def literal_prefix(topic_filter: str) -> str:
    """The prefix of every topic that the filter matches."""
    return re.split(r"/?#|\+", topic_filter, maxsplit=1)[0]


def apart(prefixes: list[str]) -> list[str]:
    """The prefixes without those that begin with another one."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return kept
