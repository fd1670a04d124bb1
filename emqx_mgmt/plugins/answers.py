"""The answers that handlers may give, by hook point. Any other answer is a fault of the plugin and denies: a guard that
answers the text "deny" must not allow a client because a non-empty text is true in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from emqx_mgmt.broker.auth.client import Grant, Ruling, Unavailable
from emqx_mgmt.broker.refused import PacketRefused
from router_ext.message.message import Message

Answers = Callable[[Any, Sequence[Any]], bool]


def one_of(*types: type) -> Answers:
    """Accepts one of these types, or None."""
    return lambda answer, _args: answer is None or isinstance(answer, types)


def codes(answer: Any, args: Sequence[Any]) -> bool:
    """Accepts a reason code for each filter [MQTT-3.8.4-6], or None."""
    return answer is None or (isinstance(answer, list) and len(answer) == len(args[0]) and all(map(_is_code, answer)))


def _is_code(code: Any) -> bool:
    return type(code) is int and (0 <= code <= 2 or 0x80 <= code <= 0xFF)


# By hook point. At other points the broker does not use the answer.
ANSWERS: dict[str, Answers] = {
    "client.authenticate": one_of(bool, Grant, Unavailable),
    "client.check_acl": one_of(bool, Ruling, Unavailable),
    "client.subscribe": codes,
    "message.publish": one_of(Message, PacketRefused),
}
