"""Traces: each step of the messages of one topic or one client, as events for the operator who asked for the trace.

The engine watches for these messages (`router_ext.routing.watch`). Without a trace there is no watch, and other
messages keep their fast path. The number of events is bounded; messages beyond it are skipped and counted.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType

from emqx_mgmt.broker.telemetry.event_subscriber import EventSubscriber, Owner
from emqx_mgmt.broker.telemetry.events import Events, demand_room, piece_of
from router_ext.protocol.topic import topic_matches
from router_ext.routing.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from emqx_mgmt.broker.broker import Broker
    from emqx_mgmt.broker.loop.timers import Timer
    from router_ext.message.message import Message
    from router_ext.session.session import Session

MOST_TRACES, MOST_OF_ONE, MOST_OF_USER = 8, 4, 4
# Events about messages in a period, for all traces together.
ROOM, PERIOD_S = 100, 0.1
# Bytes of payloads in a period, for all traces together: encoding them takes time.
PAYLOAD_ROOM = 1 << 18
# Events of a traced client besides those of its messages.
OF_CLIENTS = frozenset({"connected", "refused", "disconnected", "subscribed", "unsubscribed", "denied"})


class MessageSeen(Struct):
    """A step of a message. `client_id` is the recipient's, None where the message came in or has no subscriber; `qos`
    is that of the copy; `reason` says why it was dropped, or is empty. `payload` is its beginning in base64, absent
    where it was not asked for and where more payloads came than are shown."""

    client_id: str | None
    publisher: str
    topic: str
    qos: int
    retain: bool
    payload_bytes: int
    reason: str
    node: str
    ts: float
    payload: bytes | UnsetType = UNSET


class Skipped(Struct):
    """How many messages were skipped, of all traces together, because more came than may be reported."""

    messages: int
    node: str
    ts: float


class Ended(Struct):
    """The trace is over; `reason` is `time` or `bytes`, whichever was used up, or `stopped`."""

    reason: str
    node: str
    ts: float


class Subject(Struct, frozen=True):
    """The client that is traced, or, where `client_id` is None, the topic or topic filter."""

    client_id: str | None
    topic: str

    def concerns(self, kind: str, news: Struct) -> bool:
        """Whether an event belongs to the trace, by its kind and content."""
        if isinstance(news, Skipped):
            return True
        if self.client_id is None:
            return isinstance(news, MessageSeen) and topic_matches(self.topic, news.topic)
        if isinstance(news, MessageSeen):
            return self.client_id in (news.client_id, news.publisher)
        return kind in OF_CLIENTS and self.client_id == news.client_id  # type: ignore[attr-defined]


class Trace(EventSubscriber):
    """Ends after `most_bytes` of events, with an event that says so. `payload_bytes`: how much of payloads it shows."""

    def __init__(
        self, trace_id: str, subject: Subject, owner: Owner, node: str, most_bytes: int, payload_bytes: int,
        left: Callable[[EventSubscriber], None]
    ) -> None:
        super().__init__(owner, left)
        self.id = trace_id
        self.started_at = time.time()
        self.payload_bytes = payload_bytes
        self.subject = subject
        self.watch = Watch(subject.topic, traced=True) if subject.client_id is None else None
        self._node = node
        self._allowance = most_bytes

    def put(self, piece: bytes) -> None:
        """Ends the trace once `most_bytes` are used up."""
        self._allowance -= len(piece)
        if self._allowance < 0:
            self.finish("bytes")
        else:
            super().put(piece)

    def finish(self, reason: str) -> None:
        """The last event says why: `time` or `bytes`."""
        super().put(piece_of("end", Ended(reason, self._node, time.time())))
        self.end()


class Traces:
    """The traces that run."""

    def __init__(self, broker: Broker, events: Events) -> None:
        self._broker = broker
        self._events = events
        self._running: dict[Trace, None] = {}  # in the order in which they began
        self._ids = count(1)
        self._skipped = self._payload_room = 0
        self._next_room: Timer | None = None

    def start(self, subject: Subject, owner: Owner, seconds: int, most_bytes: int, payload_bytes: int = 0) -> Trace:
        """Traces the subject for `seconds`. Raises TooMany."""
        demand_room(self._running, owner, MOST_TRACES, MOST_OF_ONE, MOST_OF_USER)
        trace = Trace(str(next(self._ids)), subject, owner, self._events.node, most_bytes, payload_bytes, self._left)
        self._events.add(trace, subject.concerns)
        if not self._running:
            self._broker.hooks.add("message.traced", self._seen)
            self._make_room()
        self._running[trace] = None
        if trace.watch is not None:
            self._broker.engine.watch(trace.watch)
        self._trace_clients()
        self._broker.after(seconds, lambda: trace.finish("time"))
        return trace

    def running(self) -> list[Trace]:
        """Oldest first."""
        return list(self._running)

    def stop(self, trace_id: str) -> bool:
        """Ends the trace of this id; False where there is none."""
        trace = next((one for one in self._running if one.id == trace_id), None)
        if trace is not None:
            trace.finish("stopped")
        return trace is not None

    def _left(self, subscriber: EventSubscriber) -> None:
        assert isinstance(subscriber, Trace)
        self._events.left(subscriber)
        self._running.pop(subscriber, None)
        if subscriber.watch is not None:
            self._broker.engine.unwatch(subscriber.watch)
        self._trace_clients()
        if not self._running:
            self._broker.hooks.remove("message.traced", self._seen)
            if self._next_room is not None:
                self._next_room.cancel()

    def _trace_clients(self) -> None:
        self._broker.engine.trace_clients({
            trace.subject.client_id for trace in self._running if trace.subject.client_id is not None
        })

    def _make_room(self) -> None:
        """Allows the next ROOM events, and reports skipped messages, every PERIOD_S while a trace runs."""
        watches = self._broker.engine.watches
        watches.room = ROOM
        self._payload_room = PAYLOAD_ROOM
        if watches.skipped > self._skipped:
            self._events.emit("skipped", Skipped(watches.skipped - self._skipped, self._events.node, time.time()))
            self._skipped = watches.skipped
        self._next_room = self._broker.after(PERIOD_S, self._make_room)

    def _seen(self, event: str, session: Session | None, message: Message, qos: int, reason: str) -> None:
        payload = message.payload
        seen = MessageSeen(
            None if session is None else session.client_id, message.client_id, message.topic, qos, message.retain,
            len(payload), reason, self._events.node, time.time())
        for size in {trace.payload_bytes for trace in self._running}:
            shown = payload[:size]
            if size and len(shown) <= self._payload_room:
                self._payload_room -= len(shown)
                seen.payload = shown
            else:
                seen.payload = UNSET
            self._events.emit(event, seen, partial(shows, size))


def shows(payload_bytes: int, subscriber: EventSubscriber) -> bool:
    return isinstance(subscriber, Trace) and subscriber.payload_bytes == payload_bytes
