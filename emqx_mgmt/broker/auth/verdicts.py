"""Decisions that may take their time: made by a bounded number of greenlets, each under a deadline.

More clients may come than a database has answers for: after a break of the network all of them come again. A client
that has hung up meanwhile is not asked about, for it comes again: a queue that goes on serving clients that are gone
never gets to those that are there. Of those that wait with a CONNECT the last is asked about first. It will stay for
longest; the first one is about to give up, and a look-up for it is likely to be in vain.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import gevent
from gevent.pool import Pool

from emqx_mgmt.broker.hooks import HandlerFailed

if TYPE_CHECKING:
    from router_ext.engine.channel import Channel

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class Question(Generic[T]):
    """`then` gets what `ask` returns, `otherwise` when that raises or outlives the deadline, or `busy` when `ask` was
    not called in time. None for `busy`: the question waits for its turn as long as that takes, as that of a connected
    client does, which has one at a time. `channel` is None for a will, whose client is gone."""

    channel: Channel | None
    ask: Callable[[], T]
    otherwise: T
    then: Callable[[T], None]
    busy: T | None = None
    since: float = field(default_factory=time.monotonic)

    def close_if_gone(self) -> bool:
        """Whether its client has hung up; then it is not waited for any more."""
        if self.channel is None or not self.channel.is_gone:
            return False
        self.channel.close("closed")  # its session may have gone on with the connection that came after it
        return True


class Verdicts:
    """`limit` decisions at a time, each of `deadline` seconds at most. Of CONNECTs `room` more wait for their turn,
    `patience` seconds at most."""

    def __init__(self, deadline: float = 5.0, limit: int = 64, room: int = 10_000, patience: float = 10.0) -> None:
        self.deadline = deadline
        self.limit = limit
        self.room = room
        self.patience = patience
        self.late = 0
        self._pool = Pool()
        self._connected: deque[Question[Any]] = deque()  # asked in their order, and before those at the door
        self._at_door: deque[Question[Any]] = deque()

    def ask(self, question: Question[Any]) -> None:
        """Answers later; at once with `busy` where no room is left."""
        if len(self._pool) < self.limit:
            self._pool.spawn(self._decide, question)
        elif question.busy is None:
            self._connected.append(question)
        else:
            self.shed()
            if len(self._at_door) < self.room:
                self._at_door.append(question)
            else:
                question.then(question.busy)

    def shed(self) -> None:
        """Dismisses those that came first and are not to be asked any more. Called now and then, for it may be long
        until a decision under way ends."""
        while self._at_door and self._is_over(self._at_door[0]):
            self._dismiss(self._at_door.popleft())

    def _next(self) -> Question[Any] | None:
        while self._connected or self._at_door:
            question = self._connected.popleft() if self._connected else self._at_door.pop()
            if not self._is_over(question):
                return question
            self._dismiss(question)
        return None

    def _is_over(self, question: Question[Any]) -> bool:
        """Whether nobody waits for the answer, or somebody has waited for too long."""
        is_late = question.busy is not None and time.monotonic() - question.since >= self.patience
        return is_late or (question.channel is not None and bool(question.channel.is_gone))

    def _dismiss(self, question: Question[Any]) -> None:
        if not question.close_if_gone() and question.busy is not None:
            question.then(question.busy)

    def _decide(self, question: Question[Any]) -> None:
        answer = question.otherwise
        try:
            with gevent.Timeout(self.deadline):
                answer = question.ask()
        except gevent.Timeout:
            self.late += 1
            log.warning("A decision took longer than %g s: the client is refused", self.deadline)
        except HandlerFailed:
            pass
        except Exception:
            log.exception("A decision failed: the client is refused")
        following = self._next()
        if following is not None:
            self._pool.spawn(self._decide, following)
        if not question.close_if_gone():
            question.then(answer)

    def stop(self) -> None:
        """Nothing is decided any more; questions that wait get no answer."""
        self._connected.clear()
        self._at_door.clear()
        self._pool.kill()
