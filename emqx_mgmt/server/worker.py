"""The gunicorn worker that is the broker node."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

import gevent
from gunicorn import util
from gunicorn.workers.ggevent import GeventWorker

from emqx_mgmt.listeners import close_listeners
from emqx_mgmt.server.application import running_node
from emqx_mgmt.server.master import Master, current

log = logging.getLogger(__name__)

COLLECT_AFTER = (50_000, 20, 100)  # allocations, young collections, middle collections


def tell_open_defaults(master: Master) -> None:
    """One line for what a stranger on the network may do."""
    zones = dict.fromkeys(listener.zone for listener in master.listeners if listener.is_mqtt)
    anonymous = [zone for zone in zones if master.settings.zone(zone).allow_anonymous]
    if anonymous:
        log.info("Open by default: clients without credentials are accepted in the zones %s (allow_anonymous)",
                 ", ".join(anonymous))


class Worker(GeventWorker):
    """gunicorn's gevent worker, which also counts open connections for `GET /listeners/`."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        row = self.rows[listener.getsockname()[:2]]
        if row.current_conns >= row.max_conns:
            util.close(client)
            return
        row.current_conns += 1
        try:
            super().handle(listener, client, addr)
        finally:
            row.current_conns -= 1

    def run(self) -> None:
        http = current().http
        self.rows = {row.sock.getsockname()[:2]: row for row in http if row.sock}
        close_listeners(http)  # gunicorn serves its own descriptors of them, and closes those when it should
        super().run()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: MQTT clients are told at once; gunicorn first waits for HTTP requests that are still open."""
        super().handle_exit(sig, frame)
        gevent.spawn(running_node().drain)

    def start_node(self) -> None:
        # What is loaded by now stays; and tens of thousands of live connections make each full collection a stall.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        running_node().start(current().listeners)
        tell_open_defaults(current())

    def stop_node(self) -> None:
        # gunicorn also calls the hook behind this in the master, for a worker that it found dead.
        if self.pid == os.getpid():
            running_node().stop()
