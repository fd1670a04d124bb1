"""Log lines about connections: CONNECT accepted or refused, and why a connection ended.

Refusals and faults of clients are warnings; all else is logged at `debug`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client
    from router_ext.engine.channel import Channel

log = logging.getLogger(__name__)


class Level:
    """`is_debug`: whether connects and disconnects without fault are logged. `look` reads it from the logger with each
    tick; asking the logger at each connection would cost more than the rest."""

    is_debug = False

    def look(self) -> None:
        """Asks the logger again."""
        self.is_debug = log.isEnabledFor(logging.DEBUG)


level = Level()

# Logged as warnings: a client that reconnects at once, as bridges do, hides why its connections end.
FAULTS = {
    "packet_too_large": "it sent a packet that is longer than max_packet_size allows",
    "parse_error": "it sent a packet that is malformed",
    "proto_not_connected": "it sent another packet than CONNECT first",
    "protocol_error": "it sent a packet that MQTT does not allow there",
    "topic_name_invalid": "it published to a topic name that is none",
    "receive_maximum_exceeded": "it sent more unacknowledged messages than max_awaiting_rel allows",
    "topic_alias_invalid": "it sent a topic alias that max_topic_alias does not allow",
    "retain_not_supported": "it sent a retained message, which retain_available does not allow",
    "qos_not_supported": "it sent a message of a QoS that max_qos_allowed does not allow",
    "payload_format_invalid": "it sent a payload that is not the text it is said to be",
    "proxy_protocol_error": "it did not begin with a header of the PROXY protocol",
    "ws_bad_request": "it sent an HTTP request that asks for no WebSocket with MQTT",
    "ws_control_flood": "it sent more control frames than max_control_rate allows",
    "ws_frame_too_large": "it sent a frame that is longer than max_frame_size allows",
    "ws_header_too_large": "it sent an HTTP request that is longer than max_header_size allows",
    "ws_protocol_error": "it sent a frame that WebSocket does not allow",
    "ws_text_frame": "it sent a text frame, and MQTT is in binary ones",
}


def log_refused(client_id: str, username: str | None, peer: tuple[str, int], reason: str) -> None:
    """A warning: a CONNECT was refused."""
    log.warning("CONNECT refused: %s (client id %r, user name %r, from %s:%d)", reason, client_id, username, *peer,
                extra=members("connect_refused", client_id, peer))


def log_accepted(client: Client, version: int, resumed: bool) -> None:
    """For `debug`: a CONNECT was accepted."""
    if level.is_debug:
        log.debug("CONNECT accepted: MQTT %d, %s session (client id %r, user name %r, from %s:%d)", version,
                  "resumed" if resumed else "new", client.client_id, client.username, *client.peer,
                  extra=members("connect_accepted", client.client_id, client.peer))


def log_ended(channel: Channel, reason: str) -> None:
    """A connection is over: a warning where the client's packets were the cause."""
    if reason in FAULTS:
        log.warning("Connection closed: %s (%s; client id %r, from %s:%d, at %s)",
                    FAULTS[reason], reason, channel.client_id, *channel.peer, channel.listener,
                    extra=members("connection_closed", channel.client_id, channel.peer))
    elif level.is_debug:
        log.debug("Connection ended: %s (client id %r, from %s:%d, at %s)",
                  reason, channel.client_id, *channel.peer, channel.listener,
                  extra=members("connection_ended", channel.client_id, channel.peer))


def members(event: str, client_id: str | None, peer: tuple[str, int]) -> dict[str, str | None]:
    """Of the JSON form of a line."""
    host, port = peer
    return {"event": event, "client_id": client_id, "peer": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"}
