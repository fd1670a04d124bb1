"""The refusal of a CONNECT or a PUBLISH, on its way to CONNACK, PUBACK or PUBREC."""

from __future__ import annotations

from dataclasses import dataclass

from emqx_mgmt.broker import reasons


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
