"""The gunicorn worker that is the broker node."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import gevent
from gunicorn import util
from gunicorn.workers.ggevent import GeventWorker

from emqx_mgmt.server.application import running_node
from emqx_mgmt.server.master import current

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter

log = logging.getLogger(__name__)


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
        self.rows = {row.sock.getsockname()[:2]: row for row in current().http if row.sock}
        super().run()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: MQTT clients are told at once; gunicorn first waits for HTTP requests that are still open."""
        super().handle_exit(sig, frame)
        gevent.spawn(running_node().drain)


def post_worker_init(worker: Worker) -> None:
    running_node().start(current().listeners)


def worker_exit(arbiter: Arbiter, worker: Worker) -> None:
    # gunicorn also calls this in the master, for a worker that it found dead.
    if worker.pid == os.getpid():
        running_node().stop()
