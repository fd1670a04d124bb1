"""A plugin that says something of each message, as its author thought useful."""

from __future__ import annotations

from emqx_mgmt.plugins import Plugin


class Chatty(Plugin):
    name = "test_chatty"
    description = "Logs each message"
    decides = ()

    def load(self):
        self.host.hook("message.publish", self.published, prefix="flood/")

    def published(self, message):
        self.host.log.warning("%s published to %s", message.client_id, message.topic)
        return message
