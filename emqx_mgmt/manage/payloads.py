"""Payloads of messages in JSON."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from router_ext.message.message import Message

Encoding = Literal["plain", "base64"]


def shown(message: Message) -> tuple[str, Encoding]:
    """The payload and its encoding: UTF-8 text unchanged (`plain`), anything else in base64."""
    payload: bytes = message.payload
    try:
        return payload.decode(), "plain"
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode(), "base64"
