"""The broker node: builds every part, starts them in order and stops them in reverse."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import gevent

from emqx_mgmt.broker import Broker
from emqx_mgmt.broker.periodic import Periodic
from emqx_mgmt.broker.turns import Turns
from emqx_mgmt.broker.zones import core_zone
from emqx_mgmt.listeners import Listener, close_listeners
from emqx_mgmt.settings import Settings
from emqx_mgmt.storage import Store
from router_ext.reactor import Acceptor
from router_ext.retained import RetainedStore

BAN_SWEEP_S = 60.0
GOODBYE = 0x8B  # Server shutting down (MQTT 5.0, section 2.4)


class Node:
    """One broker. Building it opens nothing; `start` takes listeners whose sockets are open."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name: str = settings["node.name"]
        self.listeners: list[Listener] = []
        self.store = Store(Path(settings["node.data_dir"]))
        self.broker = Broker(
            banned=self.store.bans.table,
            response_topic_prefix=settings["mqtt.response_topic_prefix"],
            shared_strategy=settings["broker.shared_subscription_strategy"],
        )
        self.broker.engine.shared_dispatch_ack = settings["broker.shared_dispatch_ack_enabled"]
        self.broker.engine.retained = RetainedStore()
        self.turns: Turns | None = None
        self.chores = [Periodic(BAN_SWEEP_S, lambda: self.store.bans.sweep(time.time()))]
        self.started_at = 0.0

    def start(self, listeners: list[Listener]) -> None:
        self.store.open()
        self.store.applications.bootstrap(self.settings["management.bootstrap_app"])
        self.store.users.bootstrap(
            self.settings["dashboard.default_user.login"], self.settings["dashboard.default_user.password"]
        )
        self.listeners = listeners
        self.turns = Turns(self.broker)
        for listener in listeners:
            if listener.is_mqtt:
                self._accept_from(listener)
        self.turns.start()
        for chore in self.chores:
            chore.start()
        self.started_at = time.time()

    def _accept_from(self, listener: Listener) -> None:
        assert listener.sock is not None
        assert self.turns is not None
        # Accepted sockets inherit it: without Nagle's algorithm an acknowledgement is not held back.
        listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        zone = core_zone(self.settings, listener.zone)
        self.turns.reactor.listen(Acceptor(listener.sock.fileno(), zone, listener))

    def drain(self) -> None:
        """No new MQTT connections; those that are open are told to go elsewhere."""
        if self.turns is not None:
            for acceptor in list(self.turns.reactor.acceptors):
                self.turns.reactor.stop_listening(acceptor)
        close_listeners([listener for listener in self.listeners if listener.is_mqtt])
        for position, channel in enumerate(list(self.broker.engine.channels)):
            channel.close("shutdown", GOODBYE)
            if position % 500 == 499:
                gevent.sleep(0)

    def stop(self) -> None:
        for chore in self.chores:
            chore.stop()
        if self.turns is not None:
            self.drain()
            self.turns.stop()
        self.broker.verdicts.stop()
        self.store.close()
