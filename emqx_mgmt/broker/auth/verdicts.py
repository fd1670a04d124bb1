"""Decisions that may block: made by a bounded number of greenlets, each under a deadline.

After a network failure all clients reconnect at once, and a database may be too slow for them. A client that has hung
up reconnects anyway, so no decision is made for it: else the queue would serve only clients that are gone. Of the
CONNECTs that wait, the newest is decided first: its client will wait longest, while the oldest is about to hang up. """

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
from emqx_mgmt.broker.loop.rounds import yield_to_loop

if TYPE_CHECKING:
    from router_ext.engine.channel import Channel

log = logging.getLogger(__name__)
T = TypeVar("T")
# Questions that are dropped in a row, for about a millisecond; then the loop serves sockets: clients hang up by the
# thousand.
DISMISSALS = 20


def guard(question: Callable[[], T], otherwise: T) -> T:
    """The answer of a decision that is made at once; `otherwise` where it raises."""
    try:
        return question()
    except HandlerFailed:
        return otherwise
    except Exception:
        log.exception("A decision failed: the client is refused")
        return otherwise


@dataclass(slots=True)
class Question(Generic[T]):
    """A decision to make. `then` gets the result of `ask`; `otherwise` when `ask` raises or takes longer than the
    deadline; `busy` when `ask` was not called in time. With `busy` None it waits without limit, as the question of a
    connected client does: there is one at a time. `channel` is None for a will, whose client is gone."""

    channel: Channel | None
    ask: Callable[[], T]
    otherwise: T
    then: Callable[[T], None]
    busy: T | None = None
    since: float = field(default_factory=time.monotonic)

    def close_if_gone(self) -> bool:
        """Whether the client has hung up; its channel is closed then."""
        if self.channel is None or not self.channel.is_gone:
            return False
        self.channel.close("closed")  # its session may have gone on with the connection that came after it
        return True


class Verdicts:
    """Makes `limit` decisions at a time, each within `deadline` seconds. Up to `room` CONNECTs wait, each for
    `patience` seconds at most. `late` counts decisions that took too long."""

    def __init__(self, deadline: float = 5.0, limit: int = 64, room: int = 10_000, patience: float = 10.0) -> None:
        self.deadline = deadline
        self.limit = limit
        self.room = room
        self.patience = patience
        self.late = 0
        self._pool = Pool()
        self._connected: deque[Question[Any]] = deque()  # in their order, before CONNECTs
        self._connecting: deque[Question[Any]] = deque()
        self._over: deque[Question[Any]] = deque()  # nobody waits for their answers any more, or has waited enough
        self._shedding: gevent.Greenlet | None = None

    def ask(self, question: Question[Any]) -> None:
        """Calls `question.then` later; at once, with `busy`, where no room is left."""
        if len(self._pool) < self.limit:
            self._pool.spawn(self._decide, question)
        elif question.busy is None:
            self._connected.append(question)
        elif len(self._connecting) < self.room or self._set_oldest_aside():
            self._connecting.append(question)
        else:
            question.then(question.busy)

    def shed(self) -> None:
        """Answers CONNECTs that were set aside, and the oldest ones whose clients have hung up or waited too long, in a
        greenlet of its own. Called with each tick, since no decision may end for a while."""
        if not self._shedding and (self._over or self._connecting):
            self._shedding = gevent.spawn(self._shed)

    def _shed(self) -> None:
        dismissed = 0
        while self._over or self._set_oldest_aside():
            self._dismiss(self._over.popleft())
            dismissed += 1
            if dismissed % DISMISSALS == 0:
                yield_to_loop()

    def _set_oldest_aside(self) -> bool:
        """Whether the oldest CONNECT need not wait any more."""
        if not self._connecting or not self._is_over(self._connecting[0]):
            return False
        self._over.append(self._connecting.popleft())
        return True

    def _next(self) -> Question[Any] | None:
        while self._connected or self._connecting:
            question = self._connected.popleft() if self._connected else self._connecting.pop()
            if not self._is_over(question):
                return question
            self._over.append(question)
        return None

    def _is_over(self, question: Question[Any]) -> bool:
        """Whether the client has hung up, or has waited too long."""
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
        if self._over:
            self.shed()
        if following is not None:
            self._pool.spawn(self._decide, following)
        if not question.close_if_gone():
            question.then(answer)

    def stop(self) -> None:
        """Nothing is decided any more; questions that wait get no answer."""
        self._connected.clear()
        self._connecting.clear()
        self._over.clear()
        if self._shedding:
            self._shedding.kill()
        self._pool.kill()
