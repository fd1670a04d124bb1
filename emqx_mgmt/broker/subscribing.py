"""What handlers have to do with SUBSCRIBE and UNSUBSCRIBE (MQTT 5.0, sections 3.8 to 3.11). The packets themselves, and
the table of subscriptions, are in `router_ext/engine/subscribe.pyx`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import gevent

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, UNAVAILABLE
from emqx_mgmt.broker.auth.verdicts import Question, guard
from emqx_mgmt.broker.loop.rounds import yield_to_loop
from router_ext.engine.retained_delivery import has_pending_retained, send_pending_retained
from router_ext.protocol.topic import split_share

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.access import Access
    from emqx_mgmt.broker.auth.verdicts import Verdicts
    from emqx_mgmt.broker.durable import Durable
    from emqx_mgmt.broker.hooks import Hooks
    from router_ext.engine.channel import Channel
    from router_ext.engine.engine import Engine
    from router_ext.engine.subscribe import Request, SubscribeRequest, UnsubscribeRequest
    from router_ext.session.session import Session

Row = TypeVar("Row", str, tuple[str, int])

GRANTED = 0x02  # the highest code of SUBACK that is no refusal
# Filters, and characters of them, that handlers get before other clients have their turn: a packet may have a hundred
# thousand.
AT_ONCE = 200
CHARACTERS_AT_ONCE = 16_384


class Subscribing:
    def __init__(self, engine: Engine, hooks: Hooks, verdicts: Verdicts, access: Access, durable: Durable,
                 on_error: Callable[[Channel, BaseException], None]) -> None:
        self._engine = engine
        self._hooks = hooks
        self._verdicts = verdicts
        self._access = access
        self._durable = durable
        self._on_error = on_error

    # -- packets ------------------------------------------------------------------------------------

    def check_filters(self, channel: Channel, request: SubscribeRequest,
                      filters: list[tuple[str, int]]) -> list[int] | None:
        """Decides now, or with the channel held: in a greenlet where the packet has many filters, and with the other
        decisions that wait where a handler may block."""
        undecided = [reasons.UNSPECIFIED_ERROR] * len(filters)

        def decision() -> list[int]:
            return self._decide(channel, request, filters)

        hooks = self._hooks
        if hooks.may_block("client.check_acl") or hooks.may_block("client.subscribe"):
            channel.hold()
            self._verdicts.ask(Question(channel, decision, undecided, request.decided))
            return None
        if is_long(filters):
            channel.hold()
            gevent.spawn(lambda: request.decided(guard(decision, undecided)))
            return None
        return guard(decision, undecided)

    def rename_filters(self, channel: Channel, request: UnsubscribeRequest, filters: list[str]) -> bool:
        """Runs the handlers now, or in a greenlet where the packet has many filters."""
        def run() -> None:
            self._hooks.run("client.unsubscribe", channel.context, filters)

        if not is_long(filters):
            run()
            return True

        def run_then_go_on() -> None:
            run()
            request.renamed()

        channel.hold()
        gevent.spawn(run_then_go_on)
        return False

    def in_pieces(self, channel: Channel, request: Request) -> None:
        """A greenlet handles the rest of a packet of many filters, with the channel held until then."""
        def go_on() -> None:
            try:
                yield_to_loop()
                while request.go_on():
                    yield_to_loop()
            except Exception as error:
                self._on_error(channel, error)
            else:
                channel.resume()

        channel.hold()
        gevent.spawn(go_on)

    def _decide(self, channel: Channel, request: SubscribeRequest, filters: list[tuple[str, int]]) -> list[int]:
        """A reason code for each filter; the granted QoS where it may be subscribed. Both names of a filter that a
        handler changes are asked about."""
        named = list(filters)
        codes = [self._check(channel, request, topic, options) for topic, options in paced(named)]
        hooked: list[int] | None = self._hooks.pipe("client.subscribe", codes, channel.context, filters)
        if hooked is None or len(filters) != len(named):
            return [reasons.NOT_AUTHORIZED] * len(named)
        for i, (topic, options) in enumerate(paced(filters)):
            if topic != named[i][0] and hooked[i] <= GRANTED:
                code = self._check(channel, request, topic, options)
                hooked[i] = code if code > GRANTED else min(code, hooked[i])
        return hooked

    def _check(self, channel: Channel, request: SubscribeRequest, topic: str, options: int) -> int:
        code = request.granted(topic, options)
        if code > GRANTED:
            return code
        verdict = self._access.check_subscribe(channel, split_share(topic)[1])
        if verdict != ALLOW:
            return reasons.UNSPECIFIED_ERROR if verdict == UNAVAILABLE else reasons.NOT_AUTHORIZED
        return code

    # -- reports ------------------------------------------------------------------------------------

    def on_suback(self, channel: Channel, denied: bool) -> None:
        """Behind SUBACK: what is retained; or the end, where the ACL has `denied` a filter and the zone wants that."""
        session = channel.session
        if denied and channel.zone.acl_deny_disconnect:
            self._durable.afterwards(session, lambda: channel.close("acl_denied", reasons.NOT_AUTHORIZED))
        else:
            self.send_retained(session)

    def send_retained(self, session: Session) -> None:
        """Not before SUBACK."""
        engine = self._engine
        if has_pending_retained(session):
            self._durable.afterwards(session, lambda: send_pending_retained(engine, session))

    def on_subscribed(self, session: Session, topic: bytes, options: int, new: bool) -> None:
        """Runs the handlers of `session.subscribed`."""
        self._hooks.run("session.subscribed", session, topic.decode(), options, new)

    def on_unsubscribed(self, session: Session, topic: bytes) -> None:
        """Runs the handlers of `session.unsubscribed`."""
        self._hooks.run("session.unsubscribed", session, topic.decode())


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
