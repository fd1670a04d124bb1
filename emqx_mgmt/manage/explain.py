"""`GET /explain/`: the subscribers that a message would reach, and the rules that would refuse it. No message is
sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from emqx_mgmt.broker.auth.topic_rules import PUBLISH, SUBSCRIBE
from emqx_mgmt.manage.listing import in_turns
from router_ext.protocol.topic import topic_matches, valid_name

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker
    from router_ext.engine.channel import Channel
    from router_ext.session.session import Session

# Session, shared group, option byte, subscription identifiers.
Found = tuple["Session", str | None, int, list[int]]
QOS, NO_LOCAL = 0x03, 0x04
DELIVERED, QUEUED, DROPPED, CANDIDATE = "delivered", "queued", "dropped", "candidate"


class Publisher(Struct):
    """Whether the publisher is `allowed`, and the rule `by` which; `cached`: the verdict in its connection's cache,
    which counts until it expires."""

    client_id: str
    allowed: bool
    by: str
    cached: bool | None


class Recipient(Struct):
    """`outcome`: delivered, queued, dropped, or candidate: one member of `group` gets the message. `allowed`: what the
    access rules would answer if the client subscribed now."""

    client_id: str
    filters: list[str]
    group: str | None
    qos: int
    outcome: str
    reason: str
    allowed: bool | None
    by: str


class Explanation(Struct):
    """`topic` is the topic below the publisher's mountpoint. `count` counts all recipients, listed or not."""

    topic: str
    publisher: Publisher | None
    reaches: str
    count: int
    recipients: list[Recipient]


def explain(broker: Broker, topic: str, client_id: str | None, qos: int, limit: int) -> Explanation:
    """`client_id` is the publisher; it matters only while it is connected."""
    session = broker.sessions.get(client_id) if client_id is not None else None
    publisher, routed = None, topic
    channel = session.channel if session is not None else None
    if channel is not None:
        publisher, routed = _publisher(broker, channel, topic), f"{channel.mountpoint or ''}{topic}"
    if not valid_name(routed):
        return Explanation(routed, publisher, "nobody: with the mountpoint the topic is too long", 0, [])
    if publisher is not None and not (publisher.allowed if publisher.cached is None else publisher.cached):
        return Explanation(routed, publisher, "nobody: the publisher is refused", 0, [])
    found = cast("list[Found]", broker.router.recipients(routed.encode()))
    rows = list(in_turns(_rows(broker, found[:limit], routed, session, qos)))
    reaches = "nobody: no subscription matches" if not found else f"{len(found)} subscriptions"
    return Explanation(routed, publisher, reaches, len(found), rows)


def _publisher(broker: Broker, channel: Channel, topic: str) -> Publisher:
    allowed, by = broker.access.explain_publish(channel.context, topic, channel.zone, channel.mountpoint or "")
    cached = channel.cached_verdict(PUBLISH, topic.encode()) if channel.zone.enable_acl else None
    return Publisher(channel.client_id, allowed, by, cached)


def _rows(
    broker: Broker, found: list[Found], topic: str, publisher: Session | None, qos: int
) -> Iterator[Recipient]:
    for session, group, options, _ids in found:
        granted = options & QOS
        sent = max(qos, granted) if session.zone.upgrade_qos else min(qos, granted)
        filters = [
            topic_filter
            for topic_filter, of, _options, _id in broker.router.subscriptions(session)
            if of == group and topic_matches(topic_filter, topic)
        ]
        outcome, reason = _outcome(session, options, group, sent, session is publisher)
        allowed, by = _may_subscribe(broker, session, filters)
        yield Recipient(session.client_id, filters, group, sent, outcome, reason, allowed, by)


def _outcome(session: Session, options: int, group: str | None, qos: int, own: bool) -> tuple[str, str]:
    channel, zone = session.channel, session.zone
    if own and group is None and (
            options & NO_LOCAL or (zone.ignore_loop_deliver and channel is not None and channel.proto_ver != 5)):
        return DROPPED, "its own message"
    if group is not None:
        return CANDIDATE, "one member of the group gets it" + ("" if channel else "; this one is not connected")
    if channel is not None:
        full = qos and session.inflight_len >= session.max_inflight
        return (QUEUED, "the in-flight window is full") if full else (DELIVERED, "")
    if qos == 0 and not zone.mqueue_store_qos0:
        return DROPPED, "not connected, and QoS 0 is not kept (mqueue_store_qos0)"
    return QUEUED, "not connected"


def _may_subscribe(broker: Broker, session: Session, filters: list[str]) -> tuple[bool | None, str]:
    channel = session.channel
    if channel is None:
        return None, "not connected"
    verdicts = [broker.access.explain(channel.context, SUBSCRIBE, one, channel.zone) for one in filters]
    refused = [by for allowed, by in verdicts if not allowed]
    return (False, refused[0]) if refused else (True, verdicts[0][1] if verdicts else "")
