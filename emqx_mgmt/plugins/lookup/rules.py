"""Rows of an ACL table as rules (behaviour, 22.6)."""

from __future__ import annotations

import ipaddress
from typing import Any

from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.auth.topic_rules import TopicRule
from emqx_mgmt.settings.addresses import parse_address

EVERYBODY = "$all"  # as a user name of a row


def rule_of_row(row: dict[str, Any], number: int, client: Client) -> TopicRule | None:
    """The rule that a row of an ACL table is to this client, or None where it is about others.

    Columns (behaviour, 22.6): `allow` 0 or 1, `ipaddr` (an address or a network), `username` (`$all`: everybody),
    `clientid`, `access` 1 subscribe, 2 publish, 3 both, `topic`. NULL and empty texts stand for anything; of the
    conditions that are given all have to hold. Raises ValueError for a row that cannot be read: one that might deny
    must not be passed over."""
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
    """Drivers give numbers, truth values or texts."""
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
