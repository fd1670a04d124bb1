"""The stream of events: connects, disconnects, subscriptions, denials, alarms, rates.

While nobody reads events, no hook is set, and a connect costs nothing for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from emqx_mgmt.broker.telemetry.event_subscriber import EventSubscriber, Owner

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client
    from emqx_mgmt.broker.broker import Broker
    from emqx_mgmt.broker.telemetry.alarms import Alarm
    from router_ext.engine.channel import Channel
    from router_ext.session.session import Session

KINDS = ("connected", "refused", "disconnected", "subscribed", "unsubscribed", "denied", "alarm_raised",
         "alarm_cleared", "rates")
MOST_LISTENERS, MOST_OF_ONE, MOST_OF_USER = 512, 16, 128


class Connected(Struct):
    """A client was accepted; `keepalive` in seconds, `ts` in unix seconds."""

    client_id: str
    username: str | None
    ipaddress: str
    port: int
    proto_ver: int
    clean_start: bool
    keepalive: int
    node: str
    ts: float


class RefusedConnect(Struct):
    """A CONNECT was refused; `code` is CONNACK's, in the client's version."""

    client_id: str
    username: str | None
    code: int
    node: str
    ts: float


class Disconnected(Struct):
    """A connection ended; `reason` as in `shutdown_count`."""

    client_id: str
    username: str | None
    reason: str
    node: str
    ts: float


class Subscribed(Struct):
    """A subscription was made or replaced."""

    client_id: str
    topic: str
    qos: int
    node: str
    ts: float


class Unsubscribed(Struct):
    """A subscription was removed."""

    client_id: str
    topic: str
    node: str
    ts: float


class DeniedPublish(Struct):
    """Access control denied a PUBLISH."""

    client_id: str
    topic: str
    node: str
    ts: float


class AlarmChanged(Struct):
    """An alarm was raised or cleared."""

    id: str
    severity: str
    title: str
    summary: str
    node: str
    ts: float


# Whether a subscriber wants an event, by kind and content.
Wants = Callable[[str, Struct], bool]


def piece_of(kind: str, news: Struct) -> bytes:
    """The event in the form of text/event-stream."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(news))


class TooMany(Exception):
    """All streams are taken, or all that one owner may have. The text is what the API answers."""


def demand_room(subscribers: Iterable[EventSubscriber], owner: Owner, most: int, most_of_one: int,
                most_of_user: int) -> None:
    """Raises TooMany where there is no room for another stream of this owner: `most` for all owners, `most_of_one` for
    each, `most_of_user` for all log-ins of a user."""
    owners = [one.owner for one in subscribers]
    if len(owners) >= most:
        raise TooMany("too_many_listeners")
    if owners.count(owner) >= most_of_one:
        raise TooMany(f"one application, user or log-in may have no more than {most_of_one} of these streams at a time")
    if sum(one[:2] == owner[:2] for one in owners) >= most_of_user:
        raise TooMany(f"the log-ins of one user may have no more than {most_of_user} of these streams at a time")


class Events:
    """`node` is this node's name. No method switches greenlets."""

    def __init__(self, broker: Broker, node: str) -> None:
        self.node = node
        self._hooks = broker.hooks
        self._subscribers: dict[EventSubscriber, Wants] = {}
        self._number = 0
        self._points: dict[str, Callable[..., None]] = {
            "client.connected": self._connected,
            "client.refused": self._refused,
            "client.denied": self._denied,
            "client.disconnected": self._disconnected,
            "session.subscribed": self._subscribed,
            "session.unsubscribed": self._unsubscribed,
        }

    def subscribe(self, kinds: frozenset[str], owner: Owner, client_id: str | None = None) -> EventSubscriber:
        """A stream of the events of these kinds; `client_id`: of clients only this one's. Raises TooMany."""
        subscriber = EventSubscriber(owner, self.left)

        def wants(kind: str, news: Struct) -> bool:
            return kind in kinds and (client_id is None or getattr(news, "client_id", client_id) == client_id)

        self.add(subscriber, wants)
        return subscriber

    def add(self, subscriber: EventSubscriber, wants: Wants) -> None:
        """Sends the events that it `wants` to the subscriber until it leaves. Raises TooMany."""
        demand_room(self._subscribers, subscriber.owner, MOST_LISTENERS, MOST_OF_ONE, MOST_OF_USER)
        if not self._subscribers:
            for point, handler in self._points.items():
                self._hooks.add(point, handler)
        self._subscribers[subscriber] = wants

    def close(self) -> None:
        """Ends all streams."""
        for subscriber in list(self._subscribers):
            subscriber.end()

    def left(self, subscriber: EventSubscriber) -> None:
        """A stream has ended: its subscriber gets no more events."""
        del self._subscribers[subscriber]
        if not self._subscribers:
            for point, handler in self._points.items():
                self._hooks.remove(point, handler)

    def emit(self, kind: str, news: Struct, to: Callable[[EventSubscriber], bool] | None = None) -> None:
        """Sends an event to the subscribers that want it, of those that pass `to`."""
        wanting = [subscriber for subscriber, wants in self._subscribers.items()
                   if wants(kind, news) and (to is None or to(subscriber))]
        if wanting:
            self._number += 1
            piece = b"id: %d\n" % self._number + piece_of(kind, news)
            for subscriber in wanting:
                subscriber.put(piece)

    def alarm_changed(self, alarm: Alarm, raised: bool) -> None:
        """Emits `alarm_raised` or `alarm_cleared`."""
        self.emit("alarm_raised" if raised else "alarm_cleared", AlarmChanged(
            alarm.id, alarm.severity, alarm.title, alarm.summary, self.node, time.time()))

    def _connected(self, client: Client, channel: Channel) -> None:
        self.emit("connected", Connected(
            client.client_id, client.username, *client.peer, channel.proto_ver, channel.clean_start,
            channel.keepalive, self.node, time.time()))

    def _refused(self, client: Client, _channel: Channel, code: int) -> None:
        self.emit("refused", RefusedConnect(client.client_id, client.username, code, self.node, time.time()))

    def _denied(self, channel: Channel, topic: str) -> None:
        self.emit("denied", DeniedPublish(channel.client_id, topic, self.node, time.time()))

    def _disconnected(self, client: Client, reason: str) -> None:
        self.emit("disconnected", Disconnected(client.client_id, client.username, reason, self.node, time.time()))

    def _subscribed(self, session: Session, topic: str, options: int, _new: bool) -> None:
        self.emit("subscribed", Subscribed(session.client_id, topic, options & 3, self.node, time.time()))

    def _unsubscribed(self, session: Session, topic: str) -> None:
        self.emit("unsubscribed", Unsubscribed(session.client_id, topic, self.node, time.time()))
