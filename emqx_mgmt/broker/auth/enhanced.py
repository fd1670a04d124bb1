"""Enhanced authentication (MQTT 5.0, section 4.12): AUTH back and forth, before CONNACK and again later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.client import Grant
from emqx_mgmt.broker.auth.verdicts import Question, guard
from emqx_mgmt.broker.refused import BUSY, UNDECIDED, PacketRefused, refuse_connect
from router_ext.protocol.codec import encode
from router_ext.protocol.packets import Auth

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.client import Client
    from emqx_mgmt.broker.auth.grants import Grants
    from emqx_mgmt.broker.auth.topic_rules import TopicRule
    from emqx_mgmt.broker.auth.verdicts import Verdicts
    from emqx_mgmt.broker.hooks import Hooks
    from router_ext.engine.channel import Channel

HOOK = "client.enhanced_authenticate"


class AuthenticationFailed(Exception):
    """The client's data is not what the method expects, or proves nothing."""


@dataclass(slots=True, frozen=True)
class Challenge:
    """Authentication Data for the client, which has to answer."""

    data: bytes | None


@dataclass(slots=True, frozen=True)
class Proven:
    """The client is who `username` says (None: nobody in particular); `data` is the server's last word to it. The rest
    is as in Grant."""

    username: str | None
    is_super: bool = False
    data: bytes | None = None
    expires_at: float | None = None
    rules: tuple[TopicRule, ...] = ()

    @property
    def grant(self) -> Grant:
        return Grant(self.is_super, self.expires_at, self.rules)


class Conversation(Protocol):
    """What a handler of the hook returns for a method that is its own: one authentication of one client."""

    def step(self, data: bytes | None) -> Challenge | Proven:
        """The answer to the client's Authentication Data; raises AuthenticationFailed."""


@dataclass(slots=True)
class Dialogue:
    """An authentication under way; `then` gets its outcome."""

    method: str
    conversation: Conversation | None
    then: Callable[[Proven | PacketRefused], None]


class Enhanced:
    """Enhanced authentication (MQTT 5.0, section 4.12). A handler of `client.enhanced_authenticate` gets client and
    method and returns the conversation; the first one that knows the method decides."""

    def __init__(self, hooks: Hooks, verdicts: Verdicts, grants: Grants) -> None:
        self._hooks = hooks
        self._verdicts = verdicts
        self._grants = grants
        self._dialogues: dict[Channel, Dialogue] = {}

    def begin(self, channel: Channel, client: Client, properties: dict[str, Any],
              then: Callable[[Proven | PacketRefused], None]) -> None:
        """Begins an authentication with the properties of CONNECT or of a re-authenticating AUTH; `then` gets its
        outcome."""
        dialogue = Dialogue(properties["authentication_method"], None, then)
        self._dialogues[channel] = dialogue
        self._advance(channel, client, dialogue, properties.get("authentication_data"))

    def forget(self, channel: Channel) -> None:
        """The connection is over, or its authentication."""
        if self._dialogues:
            self._dialogues.pop(channel, None)

    def on_auth(self, channel: Channel, packet: Auth) -> None:
        """An AUTH packet: the next step, or the beginning of a re-authentication."""
        dialogue = self._dialogues.get(channel)
        client: Client | None = channel.context
        method = packet.properties.get("authentication_method")
        if client is None or client.auth_method is None or client.auth_method != method:
            self._protocol_error(channel)  # [MQTT-4.12.0-5] [MQTT-4.12.0-7] [MQTT-4.12.1-1]
        elif dialogue is not None and packet.reason_code == reasons.CONTINUE_AUTHENTICATION:
            self._advance(channel, client, dialogue, packet.properties.get("authentication_data"))
        elif dialogue is None and packet.reason_code == reasons.RE_AUTHENTICATE and channel.is_open:
            self.begin(channel, client, packet.properties, lambda outcome: self._again(channel, client, outcome))
        else:
            self._protocol_error(channel)

    # -- inside -------------------------------------------------------------------------------------

    def _advance(self, channel: Channel, client: Client, dialogue: Dialogue, data: bytes | None) -> None:
        def question() -> Challenge | Proven | PacketRefused:
            return self._answer(client, dialogue, data)

        def answered(answer: Challenge | Proven | PacketRefused) -> None:
            if channel.is_closed:
                return
            if isinstance(answer, Challenge):
                self._send(channel, reasons.CONTINUE_AUTHENTICATION, dialogue.method, answer.data)
                channel.resume()
            else:
                self.forget(channel)
                dialogue.then(answer)

        otherwise: Challenge | Proven | PacketRefused = UNDECIDED
        if self._hooks.may_block(HOOK):
            channel.hold()
            self._verdicts.ask(Question(
                channel, question, otherwise, answered, busy=None if channel.is_open else BUSY))
        else:
            answered(guard(question, otherwise))

    def _answer(self, client: Client, dialogue: Dialogue, data: bytes | None) -> Challenge | Proven | PacketRefused:
        if dialogue.conversation is None:
            dialogue.conversation = self._hooks.fold(HOOK, client, dialogue.method)
        if dialogue.conversation is None:
            return PacketRefused(reasons.BAD_AUTHENTICATION_METHOD)  # [MQTT-4.12.0-1]
        try:
            return dialogue.conversation.step(data)
        except AuthenticationFailed:
            return PacketRefused(reasons.NOT_AUTHORIZED)  # [MQTT-4.12.0-4]

    def _again(self, channel: Channel, client: Client, outcome: Proven | PacketRefused) -> None:
        """The end of a re-authentication. A client that proves to be another user is disconnected."""
        if isinstance(outcome, Proven) and outcome.username == client.username:
            assert client.auth_method is not None
            client.is_super = outcome.is_super
            channel.grant(outcome.is_super)
            self._grants.begin(channel, client, outcome.grant)
            self._send(channel, reasons.SUCCESS, client.auth_method, outcome.data)
            channel.resume()
        else:
            code = outcome.code if isinstance(outcome, PacketRefused) else reasons.NOT_AUTHORIZED
            if code == reasons.SERVER_UNAVAILABLE:
                code = reasons.UNSPECIFIED_ERROR  # DISCONNECT has no such code (table 2.6)
            channel.close("reauthentication_failed", code)  # [MQTT-4.12.1-2]

    def _send(self, channel: Channel, code: int, method: str, data: bytes | None) -> None:
        properties: dict[str, Any] = {"authentication_method": method}
        if data is not None:
            properties["authentication_data"] = data
        channel.send(encode(Auth(code, properties), 5))

    def _protocol_error(self, channel: Channel) -> None:
        if channel.is_open:
            channel.close("protocol_error", reasons.PROTOCOL_ERROR)
        else:
            refuse_connect(self._hooks, channel, channel.context, PacketRefused(reasons.PROTOCOL_ERROR))
