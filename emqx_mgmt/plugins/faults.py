"""Calls into a plugin's code: exceptions are counted and logged, and the time is bounded."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.exceptions import BlockingSwitchOutError
from msgspec import Struct

from emqx_mgmt.broker.hooks import HandlerFailed
from emqx_mgmt.plugins.answers import Answers

log = logging.getLogger(__name__)

# A fault that repeats is logged, with its traceback, once in so many seconds.
LOG_AGAIN_S = 10.0
# Seconds of processor time for importing and loading. Five times as long by the clock is still shorter than the time
# after which gunicorn takes the worker for dead.
LOAD_CPU_LIMIT_S = 5.0


class WatchdogTimeout(BaseException):
    """Raised by the watchdog into code that holds the processor. `except Exception` does not catch it."""


class Faults(Struct):
    """Counts of one plugin's faults since it was loaded. `dropped` counts events for which its queue had no room."""

    raised: int = 0
    late: int = 0
    burned: int = 0
    dropped: int = 0


class Watched:
    """Wraps a function of a plugin. A call raises HandlerFailed where the function raises, is late, holds the
    processor, or returns a value that `answers` does not accept."""

    __slots__ = ("_logged", "answers", "call", "deadline", "faults", "is_over", "patience", "plugin", "what")

    def __init__(self, plugin: str, what: str, call: Callable[..., Any], faults: Faults,
                 deadline: float | None = None, cpu_limit: float = 0.0, answers: Answers | None = None) -> None:
        self.plugin = plugin
        self.what = what
        self.call = call
        self.faults = faults
        self.deadline = deadline
        self.patience = cpu_limit  # seconds for which it may hold the processor, if not the general limit
        self.answers = answers
        self.is_over = False  # true once the plugin is unloaded
        self._logged = -LOG_AGAIN_S

    def __call__(self, *args: Any, **named: Any) -> Any:
        timeout = gevent.Timeout.start_new(self.deadline) if self.deadline else None
        try:
            answer = enter(self, args, named)
            if self.answers is not None and not self.answers(answer, args):
                self.faults.raised += 1
                raise self._failed(f"answered with {type(answer).__name__}, which is no answer")
            if self.is_over:
                raise HandlerFailed(f"plugin {self.plugin} was unloaded meanwhile")
            return answer
        except WatchdogTimeout:
            self.faults.burned += 1
            raise self._failed("held the processor and was interrupted") from None
        except gevent.Timeout as late:
            self.faults.late += 1
            failed = self._failed("took too long and was cut off")
            if late is timeout:
                raise failed from None
            raise  # the deadline of the caller
        except HandlerFailed:
            raise
        except BlockingSwitchOutError:
            self.faults.raised += 1
            raise self._failed("waits for something: add it with blocking=True") from None
        except (Exception, SystemExit):
            self.faults.raised += 1
            raise self._failed("failed", traceback=True) from None
        finally:
            if timeout is not None:
                timeout.close()

    def _failed(self, how: str, traceback: bool = False) -> HandlerFailed:
        sentence = f"plugin {self.plugin}: {self.what} {how}"
        now = time.monotonic()
        if now - self._logged >= LOG_AGAIN_S:
            self._logged = now
            log.error(sentence, exc_info=traceback)
        return HandlerFailed(sentence)

    def quietly(self, *args: Any) -> None:
        """Calls the function where nobody waits for its answer: faults are counted and logged only."""
        with contextlib.suppress(HandlerFailed):
            self(*args)


def enter(watched: Watched, args: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """The frame by which the watchdog finds the plugin whose code is running. It does nothing after the call."""
    return watched.call(*args, **named)


class QueuedHandler:
    """A queue of events for a handler that may wait. A greenlet calls the handler for one event after the other."""

    LIMIT = 10_000

    def __init__(self, watched: Watched, spawn: Callable[[Callable[[], None]], Any]) -> None:
        self._watched = watched
        self._spawn = spawn
        self._events: list[tuple[Any, ...]] = []
        self._running = False

    def __call__(self, *args: Any) -> None:
        if len(self._events) >= self.LIMIT:
            self._watched.faults.dropped += 1
            return
        self._events.append(args)
        if not self._running:
            self._running = True
            self._spawn(self._run)

    def _run(self) -> None:
        try:
            while self._events:
                events, self._events = self._events, []
                for args in events:
                    self._watched.quietly(*args)
        finally:
            self._running = False
