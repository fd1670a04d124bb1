"""Rules made of rows of an ACL table, of claims of tokens, and of answers of services (behaviour, 22.6)."""

from __future__ import annotations

import ipaddress
from typing import Any

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE, TopicRule
from emqx_mgmt.settings.addresses import parse_address

LAST_S = 253402300799   # 9999-12-31: the latest date that Python can represent
EVERYBODY = "$all"  # the user name of a row for every client
ACL_LISTS = {"pub": PUBLISH, "sub": SUBSCRIBE, "all": PUBLISH | SUBSCRIBE}
ACTIONS = {"publish": PUBLISH, "subscribe": SUBSCRIBE, "all": PUBLISH | SUBSCRIBE, "pub": PUBLISH, "sub": SUBSCRIBE,
           "pubsub": PUBLISH | SUBSCRIBE}


def rule_of_row(row: dict[str, Any], number: int, client: Client) -> TopicRule | None:
    """The rule that a row of an ACL table means for this client; None where the row is about others.

    Columns (behaviour, 22.6): `allow` 0 or 1, `ipaddr` (an address or a network), `username` (`$all`: everybody),
    `clientid`, `access` 1 subscribe, 2 publish, 3 both, `topic`. NULL and empty texts match anything; all conditions
    that are given must hold. Raises ValueError for a row that cannot be read, since a row that might deny must not be
    skipped.
    """
    address, username, client_id = (str(row.get(name) or "") for name in ("ipaddr", "username", "clientid"))
    allow, access, topic = _number(row, "allow", 1), _number(row, "access", 3), row.get("topic")
    if not topic:
        raise ValueError(f"row {number} has no topic")
    if address and not _is_in(client.peer[0], address, number):
        return None
    if username not in ("", EVERYBODY) and username != client.username:
        return None
    if client_id and client_id != client.client_id:
        return None
    return TopicRule(allow == 1, access, str(topic), f"row {number}")


def _number(row: dict[str, Any], name: str, most: int) -> int:
    """The number in a column, which drivers give as number, truth value or text."""
    value = row.get(name)
    try:
        number = int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= most or (name == "access" and number == 0):
        raise ValueError(f"column {name} has {value!r}")
    return number


def _is_in(peer: str, network: str, number: int) -> bool:
    try:
        allowed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        raise ValueError(f"row {number}: ipaddr {network!r} is no address and no network") from None
    return parse_address(peer) in allowed


def rules_of_claim(claim: Any, source: str) -> tuple[TopicRule, ...]:
    """`{"pub": [...], "sub": [...], "all": [...]}`, or a list of `{"permission", "action", "topic"}`:
    what a token says, or the answer of a service, as `source` has it.

    Raises TypeError, ValueError, KeyError or AttributeError for anything else."""
    if claim is None:
        return ()
    if isinstance(claim, dict):
        return tuple(TopicRule(True, ACL_LISTS[name], _topic(topic), f"{source}'s {name}")
                     for name, topics in claim.items() if name in ACL_LISTS for topic in topics)
    rules = []
    for number, rule in enumerate(claim, 1):
        permission, action = rule["permission"], rule["action"]
        if permission not in ("allow", "deny") or action not in ACTIONS:
            raise ValueError(f"rule {number} says neither allow nor deny, or of no known action")
        rules.append(TopicRule(permission == "allow", ACTIONS[action], _topic(rule["topic"]),
                               f"{source}'s rule {number}"))
    return tuple(rules)


def _topic(topic: Any) -> str:
    """With `${clientid}` and `${username}`, as later tokens name them."""
    if not isinstance(topic, str):
        raise ValueError("a topic is no text")
    return topic.replace("${clientid}", "%c").replace("${username}", "%u")
