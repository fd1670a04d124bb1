"""A plugin that authenticates by a back-end with a few connections, each busy for a while with a look-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent
from gevent.lock import BoundedSemaphore

from emqx_mgmt.plugins import Key, Plugin, Route
from emqx_mgmt.settings.kinds import DURATION_KIND, integer

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client


class StormAuth(Plugin):
    name = "storm_auth"
    description = "A slow back-end"
    decides = ("client.authenticate",)
    settings = (
        Key("storm.connections", integer(1), "8", "Of the back-end."),
        Key("storm.look_up", DURATION_KIND, "10ms", "How long one takes."),
    )

    def load(self) -> None:
        self.look_ups = 0
        self._connections = BoundedSemaphore(self.host.settings["storm.connections"])
        self._seconds = self.host.settings["storm.look_up"]
        self.host.hook("client.authenticate", self.authenticate, blocking=True)

    def authenticate(self, _client: Client) -> bool:
        with self._connections:
            self.look_ups += 1
            gevent.sleep(self._seconds)
        return True

    def routes(self) -> Sequence[Route]:
        return (Route("storm_look_ups", "GET", "/storm", "How many look-ups there were", lambda: self.look_ups),)
