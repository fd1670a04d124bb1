"""An example to copy: a plugin that uses each thing a plugin may have. `docs/plugins.md` walks through it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from emqx_mgmt.plugins import Key, Plugin, Refused, Route
from emqx_mgmt.settings.kinds import DURATION_KIND, FLAG, STRING

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client
    from router_ext.engine.channel import Channel
    from router_ext.message.message import Message

TABLE = "CREATE TABLE emqx_plugin_template_note (client TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID"


class Note(Struct):
    """The body of `PUT /template/notes/:client`."""

    note: str


class PluginTemplate(Plugin):
    name = "emqx_plugin_template"
    description = "EMQ X Plugin Template"
    decides = ("client.authenticate", "client.check_acl")
    settings = (
        Key("template.topic", STRING, "template/events", "Where events are published; empty for nowhere.", hot=True),
        Key("template.beat", DURATION_KIND, "0", "How often a heartbeat is published; 0 for never."),
        Key("template.log_messages", FLAG, "off", "Log each message. Then all of them pass through Python."),
    )
    tables = (TABLE,)

    def load(self) -> None:
        host = self.host
        host.hook("client.authenticate", self.authenticate)
        host.hook("client.check_acl", self.check_acl)
        host.hook("client.connected", self.connected)
        host.hook("client.disconnected", self.disconnected)
        host.hook("session.subscribed", self.subscribed)
        if host.settings["template.log_messages"]:
            host.hook("message.publish", self.published)
        if host.settings["template.beat"]:
            host.every(host.settings["template.beat"], self.beat)

    # -- decisions: True allows, False denies, None leaves it to the next ---------------------------

    def authenticate(self, client: Client) -> bool | None:
        self.host.log.info("authenticate %s, user %s", client.client_id, client.username)
        return None

    def check_acl(self, client: Client, access: int, topic: str) -> bool | None:
        self.host.log.info("%s %s %s", client.client_id, "subscribes to" if access == 1 else "publishes to", topic)
        return None

    # -- events --------------------------------------------------------------------------------------

    def connected(self, client: Client, _channel: Channel) -> None:
        self.event(f"{client.client_id} connected")

    def disconnected(self, client: Client, reason: str) -> None:
        self.event(f"{client.client_id} disconnected: {reason}")

    def subscribed(self, session: object, topic: str, options: int, _new: bool) -> None:
        self.host.log.info("%s subscribed to %s with QoS %d", session, topic, options & 3)

    def published(self, message: Message) -> Message:
        """May return another message, or None to stop the message."""
        self.host.log.info("%s published %d bytes to %s", message.client_id, len(message.payload), message.topic)
        return message

    def event(self, sentence: str) -> None:
        self.host.log.info("%s", sentence)
        if self.host.settings["template.topic"]:
            self.host.publish(self.host.settings["template.topic"], sentence.encode())

    def beat(self) -> None:
        self.event("still here")

    # -- REST ----------------------------------------------------------------------------------------

    def routes(self) -> Sequence[Route]:
        return (
            Route("get_template_note", "GET", "/template/notes/:client", "Read a note about a client", self.read),
            Route("put_template_note", "PUT", "/template/notes/:client", "Write a note about a client", self.write,
                  takes=Note),
        )

    def read(self, client: str) -> Note:
        note = self.host.store.run(select_note, client)
        if note is None:
            raise Refused("not_found")
        return Note(note)

    def write(self, client: str, params: Note) -> None:
        self.host.store.run(replace_note, client, params.note)


def select_note(connection: sqlite3.Connection, client: str) -> str | None:
    row = connection.execute("SELECT note FROM emqx_plugin_template_note WHERE client = ?", (client,)).fetchone()
    return row["note"] if row else None


def replace_note(connection: sqlite3.Connection, client: str, note: str) -> None:
    connection.execute("INSERT OR REPLACE INTO emqx_plugin_template_note VALUES (?, ?)", (client, note))
