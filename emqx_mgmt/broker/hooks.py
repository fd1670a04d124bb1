"""Hooks: named points at which modules and plugins take part in what the broker does (EMQ X "Hooks").

As in EMQ X, `run` calls every handler, and `fold` calls one after the other until one returns an answer. A handler that
may wait for a network or a disk is added with `blocking=True`. A point with such a handler is run in a greenlet, with
the connection held, and never on the event loop. """

from __future__ import annotations

import logging
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gevent.event import Event

from emqx_mgmt.broker.refused import PacketRefused

if TYPE_CHECKING:
    from router_ext.message.message import Message

log = logging.getLogger(__name__)

POINTS = frozenset({
    "client.authenticate", "client.enhanced_authenticate", "client.check_acl", "client.connected", "client.refused",
    "client.denied", "client.disconnected", "client.subscribe", "client.unsubscribe", "session.created",
    "session.resumed", "session.subscribed", "session.unsubscribed", "session.terminated", "message.publish",
    "message.delivered", "message.dropped", "message.acked", "message.traced",
})


# Points at which, of equal priority, the handler that was added last is called first (behaviour, 11.1 and 11.2).
LATEST_FIRST = frozenset({"client.authenticate", "client.enhanced_authenticate", "client.check_acl"})


class HandlerFailed(Exception):
    """A handler failed, which is in the log already: the caller denies and logs nothing."""


@dataclass(slots=True, eq=False)
class Renames:
    """Declares how a handler of `message.publish` changes topics: `name(topic)` is the topic with which a message to
    `topic` continues, or `topic` itself. `keeps`: the handler keeps the message, and publishes it anew later."""

    name: Callable[[str], str]
    keeps: bool = False


@dataclass(slots=True, order=True)
class Handler:
    """A function at a hook point; `rank` orders the handlers of a point."""

    rank: tuple[int, int]
    call: Callable[..., Any] = field(compare=False)
    blocking: bool = field(compare=False)
    prefix: str = field(compare=False)
    renames: Renames | None = field(compare=False)


class Hooks:
    """The handlers by hook point."""

    def __init__(self) -> None:
        self._points: dict[str, list[Handler]] = {point: [] for point in POINTS}
        self._blocking: set[str] = set()
        self._held: dict[str, Event] = {}
        self._added = 0
        self._watchers: list[Callable[[str], None]] = []

    def add(self, point: str, call: Callable[..., Any], priority: int = 0, *, blocking: bool = False,
            prefix: str = "", renames: Renames | None = None) -> None:
        """Handlers of higher priority are called first, those of equal priority in the order in which they were added
        (LATEST_FIRST: in reverse).

        For `message.publish`: the handler gets only messages whose topics begin with `prefix`; all others stay in the
        routing core. With `renames`, access to each new topic is checked before the message is accepted. Raises
        ValueError for an unknown point."""
        if point not in POINTS:
            raise ValueError(f"there is no hook point {point}")
        self._added += 1
        order = -self._added if point in LATEST_FIRST else self._added
        handlers = self._points[point].copy()  # a decision that waits in the middle of the chain keeps its own
        insort(handlers, Handler((-priority, order), call, blocking, prefix, renames))
        self._points[point] = handlers
        self._changed(point)

    def remove(self, point: str, call: Callable[..., Any]) -> None:
        """Removes a handler from a point; nothing happens when it is not there."""
        self._points[point] = [handler for handler in self._points[point] if handler.call != call]
        self._changed(point)

    def watch(self, watcher: Callable[[str], None]) -> None:
        """`watcher(point)` is called whenever the handlers of a point change."""
        self._watchers.append(watcher)

    def hold(self, point: str) -> None:
        """Decisions at this point wait until `release`, while one of its handlers is being replaced."""
        self._held.setdefault(point, Event())
        self._changed(point)

    def release(self, point: str) -> None:
        """Ends `hold`: decisions that waited are made."""
        self._held.pop(point).set()
        self._changed(point)

    def _wait(self, point: str) -> None:
        while (released := self._held.get(point)) is not None:
            released.wait()

    def _changed(self, point: str) -> None:
        if any(handler.blocking for handler in self._points[point]):
            self._blocking.add(point)
        else:
            self._blocking.discard(point)
        for watcher in self._watchers:
            watcher(point)

    def any(self, point: str) -> bool:
        """Whether the point has a handler, or will have one when it is released."""
        return bool(self._points[point]) or point in self._held

    def prefixes(self, point: str) -> list[str]:
        """The prefixes of the point's handlers; "" is the prefix of every topic."""
        return [handler.prefix for handler in self._points[point]]

    def concerns(self, point: str, below: str) -> bool:
        """Whether a handler of the point may get topics that begin with `below`."""
        return any(below.startswith(prefix) or prefix.startswith(below) for prefix in self.prefixes(point))

    def may_block(self, point: str) -> bool:
        """Whether a decision at this point may switch greenlets."""
        return point in self._blocking or point in self._held

    def run(self, point: str, *args: Any) -> None:
        """Calls every handler. An exception is logged, and the next handler is called."""
        for handler in self._points[point]:
            try:
                handler.call(*args)
            except HandlerFailed:
                pass
            except Exception:
                log.exception("A handler of %s failed", point)

    def fold(self, point: str, *args: Any) -> Any:
        """The first answer that is not None; None where no handler has one. Raises what a handler raises."""
        self._wait(point)
        for handler in self._points[point]:
            answer = handler.call(*args)
            if answer is not None:
                return answer
        return None

    def pipe(self, point: str, value: Any, *args: Any) -> Any:
        """Passes `value` through the handlers: each gets what the one before it returned. None ends the chain."""
        self._wait(point)
        for handler in self._points[point]:
            value = handler.call(value, *args)
            if value is None:
                return None
        return value

    def fold_publish(self, message: Message) -> Message | PacketRefused | None:
        """`pipe` for `message.publish`: only handlers whose prefix the topic has are called."""
        for handler in self._points["message.publish"]:
            if handler.prefix and not message.topic.startswith(handler.prefix):
                continue
            going: Message | PacketRefused | None = handler.call(message)
            if going is None or isinstance(going, PacketRefused):
                return going
            going.publisher = message.publisher
            message = going
        return message

    def names(self, topic: str) -> list[str]:
        """The topics that a message to `topic` will have on its way, in order. For a message that a handler keeps, also
        those that it will have when it is published later."""
        found, again, kept = [topic], True, False
        while again:
            again, asked = False, []
            for handler in self._points["message.publish"]:
                renames = handler.renames
                if renames is None or renames in asked or not topic.startswith(handler.prefix):
                    continue
                if renames.keeps and kept:
                    break
                asked.append(renames)  # added for several prefixes, it renames once
                topic = renames.name(topic)
                found.append(topic)
                if renames.keeps:
                    again = kept = True
                    break
        return found

    def owns(self, topic: str) -> bool:
        """Whether a handler of `message.publish` is for this topic, which begins with `$`."""
        return any(prefix.startswith("$") and topic.startswith(prefix) for prefix in self.prefixes("message.publish"))
