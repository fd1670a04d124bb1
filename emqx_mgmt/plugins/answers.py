"""What a handler may answer. Anything else is a fault of its plugin, and a fault is a no: a guard that says "deny" must
not let anybody in because a text that is not empty counts as true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from emqx_mgmt.broker.auth.client import Grant, Ruling, Unavailable
from emqx_mgmt.broker.refused import PacketRefused
from router_ext.message.message import Message

Answers = Callable[[Any, Sequence[Any]], bool]


def one_of(*types: type) -> Answers:
    """One of these, or None."""
    return lambda answer, _args: answer is None or isinstance(answer, types)


def codes(answer: Any, args: Sequence[Any]) -> bool:
    """A reason code for each of those given [MQTT-3.8.4-6], or None."""
    return answer is None or (isinstance(answer, list) and len(answer) == len(args[0]) and all(map(_is_code, answer)))


def _is_code(code: Any) -> bool:
    return type(code) is int and (0 <= code <= 2 or 0x80 <= code <= 0xFF)


# By the point of the hook; at all others nobody asks.
ANSWERS: dict[str, Answers] = {
    "client.authenticate": one_of(bool, Grant, Unavailable),
    "client.check_acl": one_of(bool, Ruling, Unavailable),
    "client.subscribe": codes,
    "message.publish": one_of(Message, PacketRefused),
}
