"""Hooks: named points where other parts of the system take part in what the broker does (EMQ X "Hooks").

Two verbs, as in EMQ X: `run` tells every handler; `fold` asks one after the other until one has an answer.
A handler that may wait for a network or a disk is added with `blocking=True`: the points it sits on are then run in a
greenlet, with the connection held, and never on the event loop.
"""

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


# Chains in which the latest of equal priority is asked first (behaviour, 11.1 and 11.2).
LATEST_FIRST = frozenset({"client.authenticate", "client.enhanced_authenticate", "client.check_acl"})


class HandlerFailed(Exception):
    """A handler did not answer, and whoever runs it has told why: a guard denies without telling it again."""


@dataclass(slots=True, eq=False)
class Renames:
    """How a handler of `message.publish` renames: `name(topic)` is the topic that a message published to `topic` goes
    on with, `topic` itself where that stays. `keeps`: the message is kept, and published from the beginning later."""

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
        """Higher priorities are called first, equal ones in the order in which they were added.

        `prefix`, for `message.publish`: the handler is for messages whose topics begin with it; all others keep
        their way past Python. `renames`, for the same: the ACL is asked about each name in advance."""
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
        """Decisions at this point wait until `release`: one of its handlers is being replaced."""
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
        """What the handlers of a point are for; an empty prefix among them: everything."""
        return [handler.prefix for handler in self._points[point]]

    def concerns(self, point: str, below: str) -> bool:
        """Whether a handler of the point is for topics that begin with `below`."""
        return any(below.startswith(prefix) or prefix.startswith(below) for prefix in self.prefixes(point))

    def may_block(self, point: str) -> bool:
        """Whether a decision at this point may switch greenlets."""
        return point in self._blocking or point in self._held

    def run(self, point: str, *args: Any) -> None:
        """Tells every handler; one that raises is logged and does not keep the others from being told."""
        for handler in self._points[point]:
            try:
                handler.call(*args)
            except HandlerFailed:
                pass
            except Exception:
                log.exception("A handler of %s failed", point)

    def fold(self, point: str, *args: Any) -> Any:
        """The first answer that is not None. A handler that raises is the caller's to treat: guards deny."""
        self._wait(point)
        for handler in self._points[point]:
            answer = handler.call(*args)
            if answer is not None:
                return answer
        return None

    def pipe(self, point: str, value: Any, *args: Any) -> Any:
        """Each handler gets what the one before it returned; None stops it."""
        self._wait(point)
        for handler in self._points[point]:
            value = handler.call(value, *args)
            if value is None:
                return None
        return value

    def fold_publish(self, message: Message) -> Message | PacketRefused | None:
        """`pipe` for `message.publish`, past the handlers that are for other topics."""
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
        """Each name that a message published to `topic` will have on its way: `topic` first, its last one at the end.
        One that is kept has those that it will have later as well, until it is kept again."""
        found, again, kept = [topic], True, False
        while again:
            again, asked = False, []
            for handler in self._points["message.publish"]:
                renames = handler.renames
                if renames is None or renames in asked or not topic.startswith(handler.prefix):
                    continue
                if renames.keeps and kept:
                    break
                asked.append(renames)  # one that is there for several prefixes renames once
                topic = renames.name(topic)
                found.append(topic)
                if renames.keeps:
                    again = kept = True
                    break
        return found

    def owns(self, topic: str) -> bool:
        """Whether a handler of `message.publish` gives a meaning to this topic, which begins with `$`."""
        return any(prefix.startswith("$") and topic.startswith(prefix) for prefix in self.prefixes("message.publish"))
