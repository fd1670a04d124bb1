"""SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0, sections 3.8 to 3.11), where handlers have a say; all others are seen to in
`router_ext/engine/subscribe.pyx`, by the same rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import gevent

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, UNAVAILABLE
from emqx_mgmt.broker.auth.verdicts import Question
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from router_ext.engine.retained_delivery import (
    forget_pending_retained,
    has_pending_retained,
    queue_retained,
    search_retained,
    send_pending_retained,
)
from router_ext.protocol.codec import encode_suback, encode_unsuback
from router_ext.protocol.topic import levels, split_share, valid_filter

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker
    from router_ext.engine.channel import Channel
    from router_ext.engine.subscribe import Request
    from router_ext.protocol.packets import Subscribe, Unsubscribe
    from router_ext.session.session import Session
    from router_ext.session.zone import Zone

Row = TypeVar("Row", str, tuple[str, int])

QOS = 0x03
RETAIN_HANDLING = 0x30
LONGEST = 0xFFFF  # bytes of a filter with its shared group (section 1.5.4)
FAILURE = 0x80  # the only refusal SUBACK has before MQTT 5
# Filters, and characters of them, seen to before others have their turn: a packet may have a hundred thousand.
AT_ONCE = 200
CHARACTERS_AT_ONCE = 16_384


class Subscribing:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._router = broker.engine.router

    # -- packets ------------------------------------------------------------------------------------

    def on_subscribe(self, channel: Channel, packet: Subscribe) -> None:
        """[MQTT-3.8.4-1] Answered at once, or after the ACL chain has taken its time with the channel held."""
        hooks = self._broker.hooks
        if not hooks.may_block("client.check_acl") and not hooks.may_block("client.subscribe"):
            self._see_to(channel, packet, lambda: self._subscribe(
                channel, packet, self._broker.guard(lambda: self._decide(channel, packet), undecided(packet))))
            return

        def decided(codes: list[int]) -> None:
            self._subscribe(channel, packet, codes)
            channel.resume()

        channel.hold()
        self._broker.verdicts.ask(Question(
            channel, lambda: self._decide(channel, packet), undecided(packet), decided))

    def on_unsubscribe(self, channel: Channel, packet: Unsubscribe) -> None:
        self._see_to(channel, packet, lambda: self._unsubscribe(channel, packet))

    def _see_to(self, channel: Channel, packet: Subscribe | Unsubscribe, work: Callable[[], None]) -> None:
        """Now, or where there are many filters in a greenlet, with the channel held."""
        if not is_long(packet.filters):
            work()
        else:
            while_held(channel, work)

    def in_pieces(self, channel: Channel, request: Request) -> None:
        """The rest of a packet of many filters, whose beginning the routing core has seen to."""
        def go_on() -> None:
            yield_to_loop()
            while request.go_on():
                yield_to_loop()

        while_held(channel, go_on)

    def _decide(self, channel: Channel, packet: Subscribe) -> list[int]:
        """A reason code for each filter; the granted QoS where it may be subscribed. Both names of a filter that a
        handler changes are asked about."""
        named = list(packet.filters)
        codes = [self._check(channel, topic, flags & QOS) for topic, flags in paced(named)]
        hooked: list[int] | None = self._broker.hooks.pipe("client.subscribe", codes, channel.context, packet.filters)
        if hooked is None or len(packet.filters) != len(named):
            return [reasons.NOT_AUTHORIZED] * len(named)
        for i, (topic, flags) in enumerate(packet.filters):
            if topic != named[i][0] and hooked[i] <= QOS:
                code = self._check(channel, topic, flags & QOS)
                hooked[i] = code if code > QOS else min(code, hooked[i])
        return hooked

    def _check(self, channel: Channel, topic: str, qos: int) -> int:
        zone: Zone = channel.zone
        try:
            group, topic_filter = split_share(topic)
        except ValueError:
            return reasons.TOPIC_FILTER_INVALID
        if not valid_filter(topic_filter) or (zone.max_topic_levels and levels(topic_filter) > zone.max_topic_levels):
            return reasons.TOPIC_FILTER_INVALID
        if channel.mountpoint is not None and mounted(channel, topic) is None:
            return reasons.TOPIC_FILTER_INVALID
        if group is not None and not zone.shared_subscription:
            return reasons.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not zone.wildcard_subscription and ("+" in topic_filter or "#" in topic_filter):
            return reasons.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED
        verdict = self._broker.access.check_subscribe(channel, topic_filter)
        if verdict != ALLOW:
            return reasons.UNSPECIFIED_ERROR if verdict == UNAVAILABLE else reasons.NOT_AUTHORIZED
        return min(qos, zone.max_qos_allowed)

    def _subscribe(self, channel: Channel, packet: Subscribe, codes: list[int]) -> None:
        """Makes the subscriptions, sends SUBACK, then what is retained for them."""
        subid = packet.properties.get("subscription_identifier", 0)
        session = channel.session
        for i, (topic, flags) in enumerate(paced(packet.filters)):
            if channel.is_closed:
                return
            if codes[i] > 2:
                continue
            if (session.is_stored and self._broker.durable.full) or not self._room_for(session, topic):
                codes[i] = reasons.QUOTA_EXCEEDED
                continue
            below = mounted(channel, topic)
            if below is None:
                codes[i] = reasons.TOPIC_FILTER_INVALID
                continue
            self.add(session, below, flags & ~QOS | codes[i], subid)
        denied = reasons.NOT_AUTHORIZED in codes
        if max(codes) > 2:
            self._count_refused(codes)
        if channel.proto_ver != 5:
            codes = [code if code <= 2 else FAILURE for code in codes]
        channel.send_after_commit(
            encode_suback(packet.packet_id, codes, explained(channel, codes), channel.proto_ver))
        self.on_subscribed(channel, denied)

    def on_subscribed(self, channel: Channel, denied: bool) -> None:
        """Behind SUBACK: what is retained; or the end, where the ACL has `denied` a filter and the zone wants that."""
        session = channel.session
        if denied and channel.zone.acl_deny_disconnect:
            self._broker.durable.afterwards(session, lambda: channel.close("acl_denied", reasons.NOT_AUTHORIZED))
        else:
            self.send_retained(session)

    def _count_refused(self, codes: list[int]) -> None:
        """A SUBSCRIBE of which not everything was granted."""
        metrics = self._broker.engine.metrics
        metrics.count("packets/subscribe/error")
        metrics.count("acl/unavailable", codes.count(reasons.UNSPECIFIED_ERROR))
        if reasons.NOT_AUTHORIZED in codes:
            metrics.count("packets/subscribe/auth_error")

    def _unsubscribe(self, channel: Channel, packet: Unsubscribe) -> None:
        """[MQTT-3.10.4-5] Always answered, also when nothing was subscribed."""
        self._broker.hooks.run("client.unsubscribe", channel.context, packet.filters)
        codes = []
        for topic in paced(packet.filters):
            if channel.is_closed:
                return
            below = mounted(channel, topic)
            removed = below is not None and self.remove(channel.session, below)
            codes.append(reasons.SUCCESS if removed else reasons.NO_SUBSCRIPTION_EXISTED)
        if any(codes):
            self._broker.engine.metrics.count("packets/unsubscribe/error")
        channel.send_after_commit(encode_unsuback(packet.packet_id, codes, {}, channel.proto_ver))

    # -- the table ----------------------------------------------------------------------------------

    def _room_for(self, session: Session, topic: str) -> bool:
        if session.may_subscribe():
            return True
        group, topic_filter = split_share(topic)
        return self._router.lookup(topic_filter.encode(), session, group.encode() if group else None) is not None

    def add(self, session: Session, topic: str, options: int, subid: int = 0) -> None:
        """Adds or replaces one subscription [MQTT-3.8.4-3]; `topic` may name a shared group. What is retained for it
        goes out with `send_retained`."""
        group, topic_filter = split_share(topic)
        if session.channel is not None:
            options = session.channel.options_of(options, group is not None)
        key = topic_filter.encode()
        new: bool = self._router.subscribe(key, session, options, subid, group.encode() if group else None)
        if group is None:  # nothing for shared ones (section 4.8.2)
            self._owe_retained(session, key, options, subid, new)
        self._broker.durable.subscribed(session, topic, options, subid)
        self._broker.hooks.run("session.subscribed", session, topic, options, new)

    def _owe_retained(self, session: Session, topic_filter: bytes, options: int, subid: int, new: bool) -> None:
        """[MQTT-3.3.1-9] to [MQTT-3.3.1-11]: by Retain Handling."""
        handling = (options & RETAIN_HANDLING) >> 4
        if handling == 0 or (handling == 1 and new):
            cursor = search_retained(self._broker.engine, topic_filter)
            if cursor is not None:
                queue_retained(session, cursor, options, subid)

    def send_retained(self, session: Session) -> None:
        """Not before SUBACK."""
        engine = self._broker.engine
        if has_pending_retained(session):
            self._broker.durable.afterwards(session, lambda: send_pending_retained(engine, session))

    def restore(self, session: Session, topic: str, options: int, subid: int) -> None:
        """A subscription as the store has it."""
        group, topic_filter = split_share(topic)
        self._router.subscribe(topic_filter.encode(), session, options, subid, group.encode() if group else None)

    def remove(self, session: Session, topic: str) -> bool:
        """False when there was no such subscription."""
        try:
            group, topic_filter = split_share(topic)
        except ValueError:
            return False
        if not self._router.unsubscribe(topic_filter.encode(), session, group.encode() if group else None):
            return False
        if group is None:
            forget_pending_retained(session, topic_filter.encode())
        self._broker.durable.unsubscribed(session, topic)
        self._broker.hooks.run("session.unsubscribed", session, topic)
        return True


def while_held(channel: Channel, work: Callable[[], None]) -> None:
    """Has a greenlet do it, with the channel held until then."""
    def slowly() -> None:
        work()
        channel.resume()

    channel.hold()
    gevent.spawn(slowly)


def is_long(rows: Sequence[str | tuple[str, int]]) -> bool:
    return len(rows) > AT_ONCE or sum(map(characters, rows)) > CHARACTERS_AT_ONCE


def characters(row: str | tuple[str, int]) -> int:
    """Of a filter, with its options or without."""
    return len(row if isinstance(row, str) else row[0])


def paced(rows: Sequence[Row]) -> Iterator[Row]:
    """Each of them. Where they are many or long a greenlet asks, and others have their turn in between. A handler may
    have made them long only now, in the loop itself."""
    if not is_long(rows) or gevent.getcurrent() is gevent.get_hub():
        yield from rows
        return
    some = size = 0
    for row in rows:
        some += 1
        size += characters(row)
        if some > AT_ONCE or size > CHARACTERS_AT_ONCE:
            some = size = 0
            yield_to_loop()
        yield row


def refused(packet: Subscribe) -> list[int]:
    return [reasons.NOT_AUTHORIZED] * len(packet.filters)


def undecided(packet: Subscribe) -> list[int]:
    return [reasons.UNSPECIFIED_ERROR] * len(packet.filters)


def explained(channel: Channel, codes: list[int]) -> dict[str, str]:
    """The properties of a SUBACK: why the first filter that is refused is."""
    code = next((code for code in codes if code >= FAILURE), None)
    return {} if code is None else channel.explanation(code, len(codes) + 7)


def mounted(channel: Channel, topic: str) -> str | None:
    """The filter below the connection's mountpoint; a shared group stays in front. None where that is no valid
    filter, or longer than MQTT can say with its group."""
    try:
        group, topic_filter = split_share(topic)
    except ValueError:
        return None
    prefix = "" if group is None else "$queue/" if group == "$queue" else f"$share/{group}/"
    below = f"{channel.mountpoint or ''}{topic_filter}"
    fits = valid_filter(below) and len(prefix.encode()) + len(below.encode()) <= LONGEST
    return f"{prefix}{below}" if fits else None
