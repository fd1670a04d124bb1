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
from typing import Any

log = logging.getLogger(__name__)

POINTS = frozenset({
    "client.authenticate", "client.check_acl", "client.connected", "client.disconnected", "client.subscribe",
    "client.unsubscribe", "session.created", "session.resumed", "session.subscribed", "session.unsubscribed",
    "session.terminated", "message.publish", "message.delivered", "message.acked", "message.dropped",
})


@dataclass(slots=True, order=True)
class Handler:
    rank: tuple[int, int]
    call: Callable[..., Any] = field(compare=False)
    blocking: bool = field(compare=False)


class Hooks:
    def __init__(self) -> None:
        self._points: dict[str, list[Handler]] = {point: [] for point in POINTS}
        self._added = 0
        self._watchers: list[Callable[[str], None]] = []

    def add(self, point: str, call: Callable[..., Any], priority: int = 0, *, blocking: bool = False) -> None:
        """Higher priorities are called first, equal ones in the order in which they were added."""
        self._added += 1
        insort(self._points[point], Handler((-priority, self._added), call, blocking))
        self._changed(point)

    def remove(self, point: str, call: Callable[..., Any]) -> None:
        self._points[point] = [handler for handler in self._points[point] if handler.call != call]
        self._changed(point)

    def watch(self, watcher: Callable[[str], None]) -> None:
        """`watcher(point)` is called whenever the handlers of a point change."""
        self._watchers.append(watcher)

    def _changed(self, point: str) -> None:
        for watcher in self._watchers:
            watcher(point)

    def any(self, point: str) -> bool:
        return bool(self._points[point])

    def may_block(self, point: str) -> bool:
        return any(handler.blocking for handler in self._points[point])

    def run(self, point: str, *args: Any) -> None:
        """Tells every handler; one that raises is logged and does not keep the others from being told."""
        for handler in self._points[point]:
            try:
                handler.call(*args)
            except Exception:
                log.exception("a handler of %s failed", point)

    def fold(self, point: str, *args: Any) -> Any:
        """The first answer that is not None. A handler that raises is the caller's to treat: guards deny."""
        for handler in self._points[point]:
            answer = handler.call(*args)
            if answer is not None:
                return answer
        return None

    def pipe(self, point: str, value: Any, *args: Any) -> Any:
        """Each handler gets what the one before it returned; None stops it."""
        for handler in self._points[point]:
            value = handler.call(value, *args)
            if value is None:
                return None
        return value
