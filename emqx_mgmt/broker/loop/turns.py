"""Drives the reactor under gevent: turns are callbacks of the loop, ticks come from one timer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import gevent

from router_ext.engine.loop_wakeup import install, remove
from router_ext.engine.reactor import Reactor

if TYPE_CHECKING:
    from emqx_mgmt.broker.broker import Broker

log = logging.getLogger(__name__)

READ = 1
TICK = 0.1  # seconds


def monotonic_ms() -> int:
    """The clock of the engine."""
    return int(time.monotonic() * 1000)


def _done_already() -> None:
    pass


class ReactorDriver:
    """Starts and stops the reactor's watchers on the event loop of the current thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.reactor = Reactor(broker.engine)
        self._loop = gevent.get_hub().loop
        self._readiness = self._loop.io(self.reactor.fileno(), READ)
        self._timer = self._loop.timer(TICK, TICK)
        self._again = False
        broker.engine.now = monotonic_ms()
        broker.engine.wake = self.wake

    def start(self) -> None:
        """From now on the loop runs turns and ticks."""
        self._tick()
        # Where the reactor is installed, libev calls it as soon as the kernel wakes it, before gevent's callback.
        at_once = install(self._loop, self.reactor)
        self._readiness.start(_done_already if at_once else self.reactor.run)
        self._timer.start(self._tick)

    def stop(self) -> None:
        """Sockets are not served any more; they stay open."""
        remove(self._loop)
        self._readiness.stop()
        self._timer.stop()
        self._broker.engine.wake = None

    def wake(self) -> None:
        """Schedules a turn for the next iteration of the loop, whether a socket is ready or not."""
        if not self._again:
            self._again = True
            self._loop.run_callback(self._turn)

    def _turn(self) -> None:
        self._again = False
        self.reactor.run()

    def _tick(self) -> None:
        now = monotonic_ms()
        self._broker.tick(now, self.reactor.tick(now))
        self.wake()
