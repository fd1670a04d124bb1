"""The broker as a plugin sees it. The host keeps a list of everything that the plugin has taken, and takes it back when
the plugin is unloaded."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.pool import Group, Pool
from gevent.server import DatagramServer, StreamServer
from gevent.threadpool import ThreadPool

from emqx_mgmt.broker.auth.enhanced import HOOK as ENHANCED
from emqx_mgmt.broker.hooks import Renames
from emqx_mgmt.listeners import Listener
from emqx_mgmt.plugins.answers import ANSWERS
from emqx_mgmt.plugins.faults import Faults, QueuedHandler, Watched
from emqx_mgmt.plugins.guards import POINTS as DECISIONS
from emqx_mgmt.settings import Endpoint

if TYPE_CHECKING:
    from emqx_mgmt.plugins.config import Config
    from emqx_mgmt.plugins.plugin import Plugin
    from emqx_mgmt.plugins.services import Services
    from emqx_mgmt.storage import Store

T = TypeVar("T")

PUBLISH_POINT = "message.publish"
# Hook points of decisions, whose answers the client waits for. All other points are events.
AWAITED = (*DECISIONS, ENHANCED)
DATAGRAMS = 1024  # requests answered at the same time
THREADS = 4
STUBBORN_S = 5.0  # seconds that a greenlet may take to end


class Host:
    """Each loaded plugin has one, as `self.host`."""

    def __init__(self, plugin: type[Plugin], services: Services, config: Config) -> None:
        self.name = plugin.name
        self.log = logging.getLogger(f"emqx_mgmt.plugins.{plugin.name}")
        self.services = services
        self._declared = plugin.decides
        self.broker = services.broker
        self.settings = config
        self.faults = Faults()
        self._hooks: list[tuple[str, Callable[..., Any], Watched]] = []
        self._greenlets = Group()
        self._servers: list[StreamServer | DatagramServer] = []
        self._rows: list[Listener] = []
        self._threads: ThreadPool | None = None
        self._is_over = False

    # -- what the broker does -----------------------------------------------------------------------

    def hook(self, point: str, call: Callable[..., Any], priority: int = 0, *, blocking: bool = False,
             prefix: str = "", renames: Renames | None = None) -> None:
        """Adds a handler at a hook point (behaviour, 19, lists the points).

        With `blocking` the handler may wait for a network or a disk. It is then called in a greenlet: for a decision
        while the client waits, for events later, one after the other. Handlers of `message.publish` never wait; with
        `prefix` such a handler gets only messages whose topics begin with it. A handler that renames messages declares
        this with `renames`, so that the ACL is checked for the new names.
        """
        if point == PUBLISH_POINT and blocking:
            raise ValueError("handlers of message.publish decide at once: hand the message to a greenlet")
        if point in DECISIONS and self._declared is not None and point not in self._declared:
            raise ValueError(f"{self.name} takes part in {point}, which its `decides` does not name")
        deadline = self.services.hook_deadline if blocking else None
        watched = self.watched(point, call, deadline)
        watched.answers = ANSWERS.get(point)
        handler: Callable[..., Any] = watched
        if blocking and point not in AWAITED:
            handler = QueuedHandler(watched, self._greenlets.spawn)
            blocking = False
        if renames is not None:
            renames = Renames(self.watched(f"renaming of {point}", renames.name), renames.keeps)
        self.broker.hooks.add(point, handler, priority, blocking=blocking, prefix=prefix, renames=renames)
        self._hooks.append((point, handler, watched))
        self.log.debug("%s takes part in %s%s", self.name, point, " and may wait" if deadline is not None else "")

    @property
    def decides(self) -> tuple[str, ...]:
        """The decisions at which the plugin has handlers. They may wait for a network, and the client waits with
        them."""
        return tuple(dict.fromkeys(point for point, *_ in self._hooks if point in DECISIONS))

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> int:
        """Publishes a message in the plugin's name. Returns the number of subscribers that it reached."""
        return self.broker.publish(topic, payload, qos, retain, client_id=self.name)

    # -- time and waiting ---------------------------------------------------------------------------

    def spawn(self, call: Callable[..., Any], *args: Any) -> gevent.Greenlet:
        """Runs a function in its own greenlet, until it returns or the plugin is unloaded."""
        return self._greenlets.spawn(self.watched(_name_of(call), call).quietly, *args)

    def after(self, seconds: float, call: Callable[[], Any]) -> gevent.Greenlet:
        """Calls a function once, after `seconds`; `kill()` cancels that."""
        greenlet = gevent.Greenlet(self.watched(_name_of(call), call).quietly)
        self._greenlets.add(greenlet)
        greenlet.start_later(seconds)
        return greenlet

    def every(self, seconds: float, call: Callable[[], Any]) -> gevent.Greenlet:
        """Calls a function repeatedly: first after `seconds`, then each time `seconds` after the last call has
        returned."""
        watched = self.watched(_name_of(call), call)

        def repeat() -> None:
            while True:
                gevent.sleep(seconds)
                watched.quietly()

        return self._greenlets.spawn(repeat)

    def in_thread(self, call: Callable[..., T], *args: Any) -> T:
        """Calls a function on one of the plugin's few threads, and waits for its result. For long computations without
        the GIL, such as a password hash."""
        self._begin()
        if self._threads is None:
            self._threads = ThreadPool(THREADS)
        result: T = self._threads.apply(call, args)
        return result

    @property
    def store(self) -> Store:
        """`store.run(work, ...)` calls `work(sqlite3 connection, ...)` on the store's thread. `Plugin.tables` declares
        the plugin's own tables."""
        return self.services.store

    # -- listeners ----------------------------------------------------------------------------------

    def listen_tcp(self, endpoint: Endpoint, serve: Callable[[socket.socket, Any], Any], *, protocol: str,
                   max_conns: int = 1024, backlog: int = 256) -> int:
        """Calls `serve(socket, address)` in a greenlet for each connection, and lists the listener under `protocol`.

        Returns the port. Raises OSError when the address cannot be used."""
        row = Listener(protocol, self.name, endpoint, acceptors=1, max_conns=max_conns, backlog=backlog)
        watched = self.watched(f"{protocol} connection", serve)

        def handle(sock: socket.socket, address: Any) -> None:
            row.current_conns += 1
            try:
                watched.quietly(sock, address)
            finally:
                row.current_conns -= 1
                sock.close()

        server = StreamServer((endpoint.host, endpoint.port), handle, spawn=Pool(max_conns), backlog=backlog)
        self._start(server)
        row.endpoint = Endpoint(endpoint.host, server.server_port)
        self._rows.append(row)
        self.services.listeners.append(row)
        return row.endpoint.port

    def listen_udp(self, endpoint: Endpoint, received: Callable[[bytes, Any, Callable[[bytes, Any], Any]], Any]) -> int:
        """Calls `received(data, address, send)` for each datagram; `send(data, address)` answers. Returns the port."""
        watched = self.watched("datagram", received)

        def handle(data: bytes, address: Any) -> None:
            watched.quietly(data, address, server.sendto)

        server = DatagramServer((endpoint.host, endpoint.port), handle, spawn=Pool(DATAGRAMS))
        self._start(server)
        return int(server.server_port)

    def _start(self, server: StreamServer | DatagramServer) -> None:
        self._servers.append(server)
        server.start()

    # -- the end ------------------------------------------------------------------------------------

    def take_back(self) -> None:
        """Takes back everything that the plugin has taken. Called from a greenlet that is not the plugin's."""
        self._is_over = True
        self.unhook()
        for server in self._servers:
            server.stop(timeout=0)
        self._servers.clear()
        for row in self._rows:
            with contextlib.suppress(ValueError):
                self.services.listeners.remove(row)
        self._rows.clear()
        self._greenlets.kill(timeout=STUBBORN_S)
        if len(self._greenlets):
            self.log.error("plugin %s: %d greenlets do not end", self.name, len(self._greenlets))
        if self._threads is not None:
            gevent.spawn(self._threads.kill)  # each ends after its current task

    def unhook(self) -> None:
        """Removes the plugin's handlers. An answer that one of them still gives is ignored: if a guard that is being
        unloaded answered None, the next handler would decide."""
        for point, handler, watched in self._hooks:
            self.broker.hooks.remove(point, handler)
            watched.is_over = True
        self._hooks.clear()

    def watched(self, what: str, call: Callable[..., Any], deadline: float | None = None) -> Watched:
        """Wraps `call` so that the watchdog watches it; it raises HandlerFailed where it fails. Every function that the
        plugin registers is wrapped here."""
        self._begin()
        return Watched(self.name, what, call, self.faults, deadline)

    def _begin(self) -> None:
        """Refuses to hand out anything after the end: a request that is still being answered could take something that
        nobody takes back."""
        if self._is_over:
            raise RuntimeError(f"plugin {self.name} is not loaded any more")


def _name_of(call: Callable[..., Any]) -> str:
    return getattr(call, "__name__", type(call).__name__)

