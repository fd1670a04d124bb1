"""A guard that takes its time to load, as one that reads a large table."""

from __future__ import annotations

from pathlib import Path

import gevent

from emqx_mgmt.plugins import Key, Plugin
from emqx_mgmt.settings.kinds import STRING


class SlowGuard(Plugin):
    """Refuses user names and topics that begin with `bad`. Loads once the file that its setting names is there."""

    name = "slow_guard"
    description = "Loads slowly"
    settings = (
        Key("slow.wait_for", STRING, "", "The file."),
        Key("slow.late", STRING, "", "The file that the decision about the user late waits for."),
        Key("slow.word", STRING, "", "Means nothing."),
    )

    def load(self):
        file = self.host.settings["slow.wait_for"]
        while file and not Path(file).exists():
            gevent.sleep(0.02)
        self.host.hook("client.authenticate", self.authenticate, blocking=True)
        self.host.hook("client.check_acl", lambda _client, _access, topic: not topic.startswith("bad"))

    def authenticate(self, client):
        self.host.log.warning("asked about %s", client.username or client.client_id)
        if client.username != "late":
            return not (client.username or "").startswith("bad")
        while not Path(self.host.settings["slow.late"]).exists():
            gevent.sleep(0.02)
        return None


class UndeclaredGuard(Plugin):
    name = "undeclared_guard"
    description = "Says that it decides about nobody, and does"
    decides = ()

    def load(self):
        self.host.hook("client.authenticate", lambda _client: False)
