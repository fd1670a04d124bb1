"""Decisions that may take their time: made by a bounded number of greenlets, each under a deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
from gevent.pool import Pool

from emqx_mgmt.broker.hooks import HandlerFailed

log = logging.getLogger(__name__)
T = TypeVar("T")


class Verdicts:
    """`limit` decisions at a time; those beyond it wait their turn."""

    def __init__(self, deadline: float, limit: int = 1000) -> None:
        self.deadline = deadline
        self._pool = Pool()
        self._limit = limit
        self._waiting: list[tuple[Callable[[], Any], Any, Callable[[Any], None]]] = []
        self.late = 0

    def ask(self, question: Callable[[], T], otherwise: T, then: Callable[[T], None]) -> None:
        """Calls `then(question())` later; `then(otherwise)` when it raises or outlives the deadline."""
        if len(self._pool) >= self._limit:
            self._waiting.append((question, otherwise, then))
        else:
            self._pool.spawn(self._decide, question, otherwise, then)

    def _decide(self, question: Callable[[], T], otherwise: T, then: Callable[[T], None]) -> None:
        answer = otherwise
        try:
            with gevent.Timeout(self.deadline):
                answer = question()
        except gevent.Timeout:
            self.late += 1
            log.warning("a decision took longer than %g s: denied", self.deadline)
        except HandlerFailed:
            pass
        except Exception:
            log.exception("a decision failed: denied")
        if self._waiting:
            self._pool.spawn(self._decide, *self._waiting.pop(0))
        then(answer)

    def stop(self) -> None:
        self._waiting.clear()
        self._pool.kill()
