"""Rules about topics that come with a client: from its token, or from a database. The first that matches decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emqx_mgmt.broker.auth.templates import filled, is_level, is_plain
from router_ext.protocol.topic import topic_matches

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client

SUBSCRIBE, PUBLISH = 1, 2     # kinds of access, as the routing core and `client.check_acl` number them; bits of a rule
LITERAL = "eq "     # before a text that is a topic and no filter


@dataclass(frozen=True, slots=True)
class TopicRule:
    """`access` is SUBSCRIBE, PUBLISH or both; `topic` a filter, in which `%u` and `%c` may be levels; `source` is
    what `GET /explain/` shows as the rule's origin."""

    allow: bool
    access: int
    topic: str
    source: str

    def covers(self, client: Client, access: int, topic: str) -> bool:
        """Where a user name or client id with `/`, `+`, `#` or a leading `$` is filled in, a rule that allows matches
        nothing. A rule that denies still matches a leading `$`, so that no client escapes it by its name."""
        if not self.access & access:
            return False
        if self.topic.startswith(LITERAL):
            return self.topic[len(LITERAL):] == topic
        text = self._filled(client)
        return text is not None and topic_matches(text, topic)

    def row(self, client: Client) -> tuple[bool, bool, bytes | None] | None:
        """The rule in the form of the routing core; None where it matches nothing."""
        if self.topic.startswith(LITERAL):
            return self.allow, True, self.topic[len(LITERAL):].encode()
        text = self._filled(client)
        return None if text is None else (self.allow, False, text.encode())

    def _filled(self, client: Client) -> str | None:
        return filled(self.topic, client.client_id, client.username, is_plain if self.allow else is_level)


def deciding(rules: Iterable[TopicRule], client: Client, access: int, topic: str) -> TopicRule | None:
    """The rule that decides, or None."""
    return next((rule for rule in rules if rule.covers(client, access, topic)), None)
