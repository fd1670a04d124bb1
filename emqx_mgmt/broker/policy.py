"""The interface between the routing core and the broker: what the core asks, and what it reports.

The core (`router_ext`) handles ordinary messages by itself. It calls `Engine.policy` for everything else, in the middle
of a turn of the event loop: none of these methods may wait. A decision that has to wait holds the channel, is made in a
greenlet, and resumes the channel afterwards (`Channel.resume`). An exception in a method ends the connection, through
`on_error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.acl_rules import Row
    from router_ext.engine.channel import Channel
    from router_ext.engine.subscribe import Request, SubscribeRequest, UnsubscribeRequest
    from router_ext.message.message import Message
    from router_ext.protocol.packets import Auth, Connect, Disconnect
    from router_ext.session.session import Session


class Policy(Protocol):
    """The methods that `Engine.policy` has to have. `Broker` implements them; tests have others."""

    # -- decisions --------------------------------------------------------------------------------------

    def on_connect(self, channel: Channel, packet: Connect) -> None:
        """A CONNECT is complete. Ends in `Channel.accept`, or in a CONNACK that refuses and `Channel.close`; until then
        the channel reads nothing but AUTH and DISCONNECT."""

    def on_auth(self, channel: Channel, packet: Auth) -> None:
        """AUTH (MQTT 5.0, section 4.12), before or after CONNACK."""

    def check_acl(self, channel: Channel, access: int, topic: bytes) -> int:
        """Whether the client may publish to a topic that its cache does not know: DENY, ALLOW, UNAVAILABLE, or PENDING,
        which holds the channel until `Channel.resume(verdict, access, topic)`."""

    def subscribe_rules(self, channel: Channel) -> list[Row]:
        """The rules about this client that decide a SUBSCRIBE, the first that covers a filter. Asked once a packet,
        where no handler takes part."""

    def on_publish(self, channel: Channel, message: Message) -> Message | int | None:
        """A message that a handler of `message.publish` is for: the message that goes on, None where none does, or the
        reason code that refuses it."""

    def check_filters(self, channel: Channel, request: SubscribeRequest,
                      filters: list[tuple[str, int]]) -> list[int] | None:
        """A SUBSCRIBE in which handlers take part. They may replace rows of `filters`, (filter, options) for each one
        asked for. Returns a reason code for each, which is the granted QoS where it may be subscribed to;
        `request.granted` says what the zone grants. None: the channel is held until `request.decided(codes)`."""

    def rename_filters(self, channel: Channel, request: UnsubscribeRequest, filters: list[str]) -> bool:
        """An UNSUBSCRIBE in which handlers take part. They may replace rows of `filters`. False: the channel is held
        until `request.renamed()`."""

    def in_pieces(self, channel: Channel, request: Request) -> None:
        """More filters than one turn takes: calls `request.go_on()` until it is False, with turns of others between."""

    # -- reports ----------------------------------------------------------------------------------------

    def connected(self) -> None:
        """A channel was accepted: there is one client more."""

    def on_subscribed(self, session: Session, topic: bytes, options: int, new: bool) -> None:
        """A subscription was made, or replaced (`new` is False); `topic` has the shared group and the mountpoint.
        Reported where `session.subscribed` has handlers."""

    def on_unsubscribed(self, session: Session, topic: bytes) -> None:
        """A subscription ended, by UNSUBSCRIBE or over the API. Reported where `session.unsubscribed` has handlers."""

    def on_suback(self, channel: Channel, denied: bool) -> None:
        """SUBACK is written, and retained messages may follow. `denied`: access control denied one of the filters."""

    def on_disconnect(self, channel: Channel, packet: Disconnect) -> None:
        """A DISCONNECT with a reason code or properties; the core sees to one without."""

    def on_denied(self, channel: Channel, topic: bytes) -> None:
        """A PUBLISH was denied, and answered."""

    def on_reports(self, reports: list[tuple[Any, ...]]) -> None:
        """What became of messages in this turn: (hook point, argument, ...), in order."""

    def on_retained_sent(self, session: Session, topic_filter: bytes) -> None:
        """The last retained message for a subscription of a stored session is sent."""

    def on_awaiting_rel(self, channel: Channel) -> None:
        """An MQTT 3 client has more QoS 2 messages open than it may have. Once a connection."""

    def on_slow(self, channel: Channel) -> None:
        """The client's socket is full for so long that QoS 0 messages for it are dropped. Once a connection."""

    def on_closed(self, channel: Channel, reason: str) -> None:
        """The connection is over; `reason` as `shutdown_count` names it. Once for each channel."""

    def on_error(self, channel: Channel, error: BaseException) -> None:
        """Something raised on the channel's behalf: a fault of the broker."""

    def reason_text(self, code: int) -> str:
        """A reason code in words, for Reason String [MQTT-3.2.2-19]; empty where there are none."""


class JournalPolicy(Protocol):
    """The methods that `Journal.policy` has to have: reports of the store process."""

    def store_full(self, text: str) -> None:
        """The store takes nothing; `text` says why."""

    def store_has_room(self) -> None:
        """It takes messages again."""

    def store_lost(self) -> None:
        """The store process has ended."""


class Listener(Protocol):
    """What the listener of an `Acceptor` and of its channels has to have."""

    @property
    def protocol(self) -> str:
        """"mqtt:tcp", "mqtt:ssl", "mqtt:ws" or "mqtt:wss"."""

    @property
    def port(self) -> int:
        """That clients connect to."""

    @property
    def handshake_timeout(self) -> int:
        """Milliseconds that a client has for the handshakes of TLS and WebSocket, each."""

    def admit(self, address: bytes) -> bool:
        """Whether one more client may connect from this socket address; it is counted then."""

    def closed(self, reason: str, address: bytes) -> None:
        """The connection of a client that was admitted is over."""

    def identify(self, channel: Channel) -> str | None:
        """The user name that the client's certificate gives, where the listener takes it from there."""

    def exhausted(self) -> None:
        """A connection could not be accepted: there are no descriptors left."""

    def hurried(self) -> None:
        """Clients connect faster than `Acceptor.max_rate`."""
