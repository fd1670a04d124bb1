"""The broker node: builds every part, starts them in order and stops them in reverse."""

from __future__ import annotations

import time
from pathlib import Path

from emqx_mgmt.listeners import Listener, close_listeners
from emqx_mgmt.settings import Settings
from emqx_mgmt.storage import Store


class Node:
    """One broker. Building it opens nothing; `start` takes listeners whose sockets are open."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name: str = settings["node.name"]
        self.listeners: list[Listener] = []
        self.store = Store(Path(settings["node.data_dir"]))
        self.started_at = 0.0

    def start(self, listeners: list[Listener]) -> None:
        self.started_at = time.time()
        self.listeners = listeners
        self.store.open()
        self.store.applications.bootstrap(self.settings["management.bootstrap_app"])

    def drain(self) -> None:
        """No new MQTT connections; those that are open are told to go elsewhere."""
        close_listeners([listener for listener in self.listeners if listener.is_mqtt])

    def stop(self) -> None:
        self.store.close()
