"""The gunicorn worker that is the broker node."""

from __future__ import annotations

import errno
import gc
import logging
import os
import ssl
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from weakref import WeakKeyDictionary, WeakSet

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import http as gunicorn_http
from gunicorn import util
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.ggevent import GeventWorker

from emqx_mgmt.broker.loop.periodic import Periodic
from emqx_mgmt.listeners import Listener, close_listeners
from emqx_mgmt.node import Node
from emqx_mgmt.server import service_manager
from emqx_mgmt.server.application import running_node
from emqx_mgmt.server.control import ControlServer
from emqx_mgmt.server.https import HttpsServer
from emqx_mgmt.server.listening import Listening
from emqx_mgmt.server.log import limit_log, log_what_nobody_catches
from emqx_mgmt.server.master import Master, current
from emqx_mgmt.server.parser import FairParser

log = logging.getLogger(__name__)

# What ended a request, by what gunicorn's parser raised, and by the status of the answer.
REFUSALS = {
    LimitRequestLine: "header_too_large",
    LimitRequestHeaders: "header_too_large",
    ParseException: "bad_request",
    ssl.SSLError: "tls_error",
}
ANSWERS = {408: "body_timeout", 413: "body_too_large"}
FIRST = 1           # the age of the first worker of a master
RETRY_S = 1
NOTIFY_S = 1
COLLECT_AFTER = (50_000, 20, 100)  # allocations, young collections, middle collections


def log_open_defaults(master: Master) -> None:
    """Logs in which zones clients without credentials are accepted."""
    zones = dict.fromkeys(listener.zone for listener in master.listeners if listener.is_mqtt)
    anonymous = [zone for zone in zones if master.settings.zone(zone).allow_anonymous]
    if anonymous:
        log.info("Open by default: clients without credentials are accepted in the zones %s (allow_anonymous)",
                 ", ".join(anonymous))


def log_styles(master: Master) -> None:
    """Logs how each port of the API answers: an exporter that needs the other style shows nothing and reports no
    error."""
    settings = master.settings
    ports = [f"{row.name} on {row.listen_on} {settings[f'{row.name}.style']} with {settings[f'{row.name}.names']}"
             for row in (*master.http, *master.https)]
    log.info("The API answers: %s (management.style, dashboard.style, .names); tools of EMQ X 3.0.0 and later need"
             " envelope, those of 3.2 dots too", ", ".join(ports))


def log_first_password(master: Master) -> None:
    """Where the default user's password can be chosen from another machine, which may not use the well-known one."""
    first = running_node().store.users.first_password
    served = [*master.http, *master.https]
    dashboard = next((row for row in served if row.name == "dashboard"), None)
    if first is None or dashboard is None or not running_node().store.logins.are_offered:
        return
    host = dashboard.endpoint.host
    at = dashboard.listen_on if host not in ("", "0.0.0.0", "::") else f"localhost:{dashboard.endpoint.port}"
    log.warning("Dashboard: set the password of %s at %s://%s/#/first?token=%s (once; from another machine, with the "
                "name of this one)", first.username, "https" if dashboard.is_https else "http", at, first.token)


def log_ready(master: Master, node: Node) -> None:
    """The last line of a start."""
    log.info("Ready: the node %s serves clients at %d listeners", node.name, len(master.listeners),
             extra={"event": "ready"})
    service_manager.notify(service_manager.READY, service_manager.status(f"The node {node.name} serves clients"))


class HeadTimeout(gevent.Timeout):
    """Closes the connection without an answer where the head of a request takes too long, and counts it."""

    def __init__(self, seconds: float, row: Listener | None) -> None:
        super().__init__(seconds, False)
        self._row = row

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> Any:
        if value is self and self._row is not None:
            self._row.count("header_timeout")
        return super().__exit__(kind, value, traceback)


class Worker(GeventWorker):
    """gunicorn's gevent worker, which also counts open connections for `GET /listeners/`."""

    # TERM may come before there are any. `idle`: greenlets that wait for another request.
    secured: Sequence[HttpsServer] = ()
    started = False     # the node
    accepts_http = False
    is_ready_sent = False     # that clients are served
    idle: ClassVar[WeakKeyDictionary[Any, gevent.Timeout]] = WeakKeyDictionary()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """gunicorn has accepted a connection."""
        row = self.rows[listener.getsockname()[:2]]
        with row.place(addr) as admitted:
            if admitted:
                self.serve(row, listener, client, addr)
            else:
                util.close(client)

    def serve(self, row: Listener, listener: Any, client: Any, addr: Any) -> None:
        """Serves the connection, which counts at `row`."""
        self.row_of[gevent.getcurrent()] = row
        super().handle(listener, client, addr)

    def take_limits(self) -> None:
        """Sets gunicorn's limits from the settings, since HUP does not read gunicorn's own again."""
        settings = current().settings
        self.cfg.set("limit_request_fields", settings["management.max_headers"])
        self.cfg.set("limit_request_field_size", settings["management.max_header_size"])
        # One more than are served: to be refused, and counted.
        self.worker_connections = max([row.max_conns for row in current().http], default=0) + 1

    def start_log_limit(self) -> Periodic | None:
        """None where `log.burst_limit` is off."""
        log_what_nobody_catches()
        limit = current().settings["log.burst_limit"]
        if limit is None:
            return None
        log_limit = Periodic(limit.seconds, limit_log(limit).report)
        log_limit.start()
        return log_limit

    def run(self) -> None:
        """Serves until the worker is told to end."""
        self.take_limits()
        log_limit = self.start_log_limit()
        gunicorn_http.RequestParser = FairParser
        http, https = current().http, current().https
        self.rows = {row.sock.getsockname()[:2]: row for row in http if row.sock}
        self.row_of: WeakKeyDictionary[Any, Listener] = WeakKeyDictionary()  # by greenlet; none for the control socket
        close_listeners(http)  # gunicorn serves its own descriptors of them, and closes those when it should
        self.kept: WeakSet[Any] = WeakSet()  # greenlets that have served a request
        handshake_s = current().settings["management.header_timeout"]
        self.secured = [HttpsServer(row, self.serve, handshake_s) for row in https]
        for server in self.secured:
            server.start()
            running_node().renewal.watch(server.listener, server.renew)
        control = self.control_server()
        self.serve_http()
        if log_limit is not None:
            log_limit.stop()
        if control is not None:
            control.stop()
        for server in self.secured:
            server.stop()

    def serve_http(self) -> None:
        """In place of gunicorn's loop, which looks once a second whether the worker is to end, and whether the last
        request has been answered: that made each stop and reload a second longer."""
        servers = [StreamServer(sock, partial(self.handle, Listening(sock)), spawn=Pool(self.worker_connections))
                   for sock in self.sockets]
        for server in servers:
            server.start()
        self.accepts_http = True
        while self.alive:
            self.notify()
            self.ending.wait(NOTIFY_S)
        for server in servers:
            server.close()
        with gevent.Timeout(self.cfg.graceful_timeout, False):
            for server in servers:
                while not server.pool.join(NOTIFY_S):
                    self.notify()
            return
        log.warning("HTTP requests that were not answered within %d s are cut off: the worker ends",
                    self.cfg.graceful_timeout)
        for server in servers:
            server.stop(timeout=1)

    def control_server(self) -> ControlServer | None:
        """The socket for commands of this machine; None where it cannot be made."""
        data_dir = Path(current().settings["node.data_dir"])
        try:
            control = ControlServer(data_dir, super().handle)
        except OSError as error:    # a full disk, for one: HTTP answers why the start takes so long
            log.error("No control socket can be made in %s: %s. Commands of emqx-mgmt find no broker until a HUP.",
                      data_dir, error.strerror)
            return None
        control.start()
        return control

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """A client that neither takes nor gives bytes in the middle of a request is disconnected."""
        self.idle.pop(gevent.getcurrent(), None)
        sock.settimeout(current().settings["management.send_timeout"])
        if isinstance(sock, ssl.SSLSocket):
            req.scheme = "https"  # gunicorn knows only of TLS of its own
        try:
            return super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            self.count("send_timeout")
            raise ConnectionResetError(errno.ECONNRESET, "the client stalled") from None
        finally:
            sock.settimeout(None)

    def answered(self, response: Any) -> None:
        """Counts refusals of the application."""
        self.count(ANSWERS.get(response.status_code))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Counts refusals of gunicorn's parser."""
        self.count(next((word for kind, word in REFUSALS.items() if isinstance(exc, kind)), None))
        super().handle_error(req, client, addr, exc)

    def count(self, reason: str | None) -> None:
        """Counts the connection of the current greenlet under `reason`; None is not counted."""
        row = self.row_of.get(gevent.getcurrent())
        if reason is not None and row is not None:
            row.count(reason)

    def timeout_ctx(self) -> gevent.Timeout:
        """The timeout for the head of a request, so that sending it byte by byte gains nothing. Before a further
        request the connection may be idle, but not while the worker stops, which waits for all connections."""
        greenlet = gevent.getcurrent()
        if greenlet in self.kept:
            idle_s = current().settings["management.keepalive_timeout"] if self.alive else 0
            self.idle[greenlet] = gevent.Timeout(idle_s, False)
            return self.idle[greenlet]
        self.kept.add(greenlet)
        return HeadTimeout(current().settings["management.header_timeout"], self.row_of.get(greenlet))

    def handle_exit(self, sig: int, frame: Any) -> None:
        """TERM: disconnects MQTT clients at once; gunicorn waits for open HTTP requests first."""
        self.end_when_starting()
        super().handle_exit(sig, frame)
        self.ending.set()
        for server in self.secured:
            server.close()
        gevent.spawn(self.leave)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """INT and QUIT."""
        self.end_when_starting()
        super().handle_quit(sig, frame)

    def end_when_starting(self) -> None:
        """Ends a worker that is still starting, as kill -9 would: it serves no client yet, and the stores survive that.
        Stopping half-started parts could raise, and gunicorn would take that for a broker that cannot start."""
        if not self.started:
            os._exit(0)

    def leave(self) -> None:
        """Ends idle HTTP connections, and disconnects MQTT clients."""
        for greenlet, timeout in list(self.idle.items()):
            gevent.kill(greenlet, timeout)
        running_node().drain()

    def handle_usr1(self, sig: int, frame: Any) -> None:
        """USR1: gunicorn opens its logs again, and TLS files are read again."""
        super().handle_usr1(sig, frame)
        if self.started:
            gevent.spawn(running_node().renewal.read_again)

    def init_process(self) -> None:
        """Where the first worker cannot start, gunicorn ends the broker with the reason. A later worker is started
        again and again, since the cause may go away."""
        self.ending = Event()
        try:
            super().init_process()
        except Exception:
            if self.booted or self.age == FIRST:
                raise
            self.give_up()

    def give_up(self) -> NoReturn:
        """Ends the worker: it cannot start."""
        log.critical("The worker cannot start; the next one tries it in %d s", RETRY_S, exc_info=True)
        time.sleep(RETRY_S)
        os._exit(1)

    def start_node(self) -> None:
        """Returns once the node has started, or its start waits for something that may take long: HTTP is served
        meanwhile, for probes."""
        # What is loaded by now stays; and tens of thousands of live connections make each full collection a stall.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        waiting = gevent.spawn(self.notify_while_starting)
        starting = gevent.spawn(self.try_to_start)
        gevent.wait([starting, running_node().hindered], count=1)
        waiting.kill()
        if not starting.ready():
            starting.link(self.on_late_end)
        elif starting.value is not None:
            raise starting.value

    def try_to_start(self) -> Exception | None:
        """Starts the node, in a greenlet of its own, since the worker may have to serve HTTP meanwhile."""
        try:
            log.debug("Worker starts: process %d", self.pid)
            running_node().start(current().listeners, self.notify)
        except Exception as error:
            return error
        self.started = True
        log_open_defaults(current())
        log_styles(current())
        log_first_password(current())
        return None

    def on_late_end(self, starting: gevent.Greenlet) -> None:
        """The start of the node is over, while HTTP was served already."""
        if starting.value is not None:
            log.critical("The worker cannot start after all", exc_info=starting.value)
            os._exit(1)

    def notify(self) -> None:
        """Each second at least: the loop turns."""
        super().notify()
        service_manager.alive()
        if self.started and self.accepts_http and not self.is_ready_sent:
            self.is_ready_sent = True
            log_ready(current(), running_node())

    def notify_while_starting(self) -> None:
        """Signals the master that the worker lives, which waits for the worker before it to end: after USR2, as long as
        the administrator likes."""
        while True:
            self.notify()
            gevent.sleep(1)

    def stop_node(self) -> None:
        """Stops the node, in the process that it runs in."""
        # gunicorn also calls the hook behind this in the master, for a worker that it found dead.
        if self.pid == os.getpid():
            running_node().stop()
