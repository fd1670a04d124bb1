"""The refusal of a CONNECT or a PUBLISH, on its way to CONNACK, PUBACK or PUBREC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.client import Client
from emqx_mgmt.broker.telemetry.connection_log import log_refused

if TYPE_CHECKING:
    from emqx_mgmt.broker.hooks import Hooks
    from router_ext.engine.channel import Channel
    from router_ext.protocol.packets import Connect


@dataclass(slots=True)
class PacketRefused(Exception):
    """A CONNECT or a message is refused with the MQTT 5 reason `code`; `why` is for the log, where the code does not
    say it."""

    code: int
    why: str = ""


# Its name in plugins that were written before.
Refused = PacketRefused

BUSY = PacketRefused(reasons.SERVER_BUSY, "too many decisions wait before it")
UNDECIDED = PacketRefused(reasons.SERVER_UNAVAILABLE, "the decision failed or took too long")


def refuse_connect(hooks: Hooks, channel: Channel, who: Client | Connect, refused: PacketRefused) -> None:
    """Sends the CONNACK that refuses, and closes the channel. `who` is the CONNECT where the client could not be
    identified."""
    code = refused.code
    log_refused(who.client_id, who.username, channel.peer, refused.why or reasons.TEXTS[code])
    connack, word = reasons.refusal(code, channel.proto_ver, channel.explanation(code, 5))
    channel.send(connack)
    channel.close(word)
    if isinstance(who, Client):
        hooks.run("client.refused", who, channel, code)
