"""Counter names as v3.2 has them."""

from __future__ import annotations

from collections.abc import Mapping

# Packets whose direction v3.2 spells out; all other names change only their slashes.
_RENAMED = {
    "packets/connect": "packets.connect.received",
    "packets/connack": "packets.connack.sent",
    "packets/subscribe": "packets.subscribe.received",
    "packets/suback": "packets.suback.sent",
    "packets/unsubscribe": "packets.unsubscribe.received",
    "packets/unsuback": "packets.unsuback.sent",
    "packets/pingreq": "packets.pingreq.received",
    "packets/pingresp": "packets.pingresp.sent",
    "packets/auth": "packets.auth.received",
}


def dotted(values: Mapping[str, int]) -> dict[str, int]:
    return {_RENAMED.get(name) or name.replace("/", "."): value for name, value in values.items()}
