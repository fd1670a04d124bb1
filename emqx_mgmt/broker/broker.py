"""The broker: policy over the routing core. The engine calls it for everything but ordinary messages.

Methods named `on_…` and `check_…` are called from the event loop, in the middle of a turn: they decide at once or hold
the channel and decide in a greenlet; they never switch greenlets themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, Access
from emqx_mgmt.broker.auth.enhanced import Enhanced
from emqx_mgmt.broker.auth.flapping import Flapping
from emqx_mgmt.broker.auth.grants import Grants
from emqx_mgmt.broker.auth.verdicts import Verdicts
from emqx_mgmt.broker.connect import ConnectHandler
from emqx_mgmt.broker.delayed import Delayed
from emqx_mgmt.broker.durable import Durable, Stored
from emqx_mgmt.broker.hooks import HandlerFailed, Hooks
from emqx_mgmt.broker.loop.timers import Timer, Timers
from emqx_mgmt.broker.policy import Policy
from emqx_mgmt.broker.refused import PacketRefused
from emqx_mgmt.broker.restore import Restore
from emqx_mgmt.broker.sessions import PUBLISH_PACKET, Sessions
from emqx_mgmt.broker.subscribing import Subscribing
from emqx_mgmt.broker.telemetry.connection_log import level, log_ended, log_refused
from emqx_mgmt.broker.telemetry.stats import Stats
from router_ext.engine.engine import Engine
from router_ext.engine.subscribe import subscribe, unsubscribe
from router_ext.message.message import Message
from router_ext.net.connection import Egress
from router_ext.net.metrics import Metrics
from router_ext.protocol.codec import encode_properties
from router_ext.routing.router import Router
from router_ext.session.zone import Zone

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.banned import Ban, Banned
    from router_ext.engine.channel import Channel
    from router_ext.message.retained_store import RetainedStore
    from router_ext.protocol.packets import Disconnect
    from router_ext.session.session import Session

log = logging.getLogger(__name__)

# A connection taken over by its own client is no disconnect to the rest of the system.
TAKEN_OVER = ("discard", "conflict")
# Where one of these has a handler, `check_filters` is asked about a SUBSCRIBE.
SUBSCRIBE_POINTS = ("client.subscribe", "client.check_acl")


class Broker:
    """`banned` is None where there is no table of bans; `ban` adds a ban without switching greenlets;
    `response_topic_prefix` may be empty; `zone_of` gives the record of a zone by its name."""

    def __init__(
        self,
        *,
        banned: Banned | None = None,
        ban: Callable[[Ban], object] = lambda ban: None,
        response_topic_prefix: str = "",
        shared_strategy: str = "random",
        verdicts: Verdicts | None = None,
        zone_of: Callable[[str], Zone] = Zone,
    ) -> None:
        metrics = Metrics()
        self.engine = Engine(Router(strategy=shared_strategy), metrics, Egress(metrics))
        self.hooks = Hooks()
        self.hooks.watch(self._hooks_changed)
        self.timers = Timers()
        self.verdicts = verdicts or Verdicts()
        self.zone_of = zone_of
        self.grants = Grants(self.after, lambda: self.access.update())
        self.access = Access(self.engine, self.hooks, self.verdicts, self.grants, zone_of)
        self.delayed = Delayed(self.engine)
        self.durable = Durable(self.engine)
        self.session_manager = Sessions(self.engine, self.hooks, self.verdicts, self.access, self.durable,
                                        after=self.after, route=self.route_quietly)
        self.stats = Stats(self.engine, self.session_manager)
        self.enhanced = Enhanced(self.hooks, self.verdicts, self.grants)
        self.connect_handler = ConnectHandler(
            self.engine, self.hooks, self.verdicts, self.access, self.grants, self.enhanced, self.session_manager,
            self.durable, banned=banned, on_error=self.on_error, response_topic_prefix=response_topic_prefix)
        self.subscribing = Subscribing(self.engine, self.hooks, self.verdicts, self.access, self.durable, self.on_error)
        self.flapping = Flapping(ban)
        self.check_acl = self.access.check_publish
        self.check_filters = self.subscribing.check_filters
        self.rename_filters = self.subscribing.rename_filters
        self.on_suback = self.subscribing.on_suback
        self.on_subscribed = self.subscribing.on_subscribed
        self.on_unsubscribed = self.subscribing.on_unsubscribed
        self.in_pieces = self.subscribing.in_pieces
        self.subscribe_rules = self.access.subscribe_rules
        self.on_connect = self.connect_handler.on_connect
        self.on_auth = self.enhanced.on_auth
        policy: Policy = self
        self.engine.policy = policy

    # -- what the management API asks -----------------------------------------------------------------

    @property
    def sessions(self) -> dict[str, Session]:
        """All sessions by client id, connected or not."""
        return self.engine.sessions

    @property
    def online(self) -> int:
        """How many clients are connected."""
        return self.session_manager.online

    @property
    def router(self) -> Router:
        """The table of subscriptions."""
        return self.engine.router

    def metrics(self) -> dict[str, int]:
        """The documented counters by name."""
        return self.engine.metrics.snapshot()

    def extended_metrics(self) -> dict[str, int]:
        """Counters beyond the documented ones: why messages were dropped, how often publishers were paused."""
        return self.engine.metrics.extended() | {"delayed/refused": self.delayed.refused}

    def v32_metrics(self) -> dict[str, int]:
        """Counters that v3.2 has beyond the documented ones."""
        return self.engine.metrics.later()

    def v32_stats(self) -> dict[str, int]:
        """Gauges that v3.2 has beyond the documented ones: rows of subscription options, one for each subscription."""
        stats = self.stats.rows()
        return {f"suboptions/{end}": stats[f"subscriptions/{end}"] for end in ("count", "max")}

    def extended_stats(self) -> dict[str, int]:
        """Gauges beyond the documented ones: bytes that wait for sockets, delayed messages."""
        usage = self.delayed.usage
        return self.engine.egress.figures() | {"delayed/count": usage.messages, "delayed/bytes": usage.bytes}

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, client_id: str = "http",
                properties: dict[str, Any] | None = None) -> int:
        """Publishes past ACL, mountpoint and limits (behaviour, 5.9). Returns how many subscribers the message reached.
        Raises PacketRefused where a handler of `message.publish` refuses it."""
        properties = dict(properties or {})
        expiry = properties.pop("message_expiry_interval", None)
        encoded = encode_properties(properties, PUBLISH_PACKET) if properties else b""
        return self.route(Message.create(topic, payload, qos, retain, client_id, encoded, expiry), None)

    def route(self, message: Message, publisher: Session | None) -> int:
        """Runs the `message.publish` hooks and sends the message to its subscribers; returns how many it reached.
        Raises PacketRefused where a handler refuses it."""
        if self.hooks.any("message.publish"):
            hooked = self.run_publish_hooks(message)
            if hooked is None:
                return 0
            if isinstance(hooked, PacketRefused):
                raise hooked
            message = hooked
        return self.engine.publish(message, publisher)

    def route_quietly(self, message: Message, publisher: Session | None = None) -> None:
        """`route` for a message whose publisher gets no answer: a refusal goes to the log."""
        try:
            self.route(message, publisher)
        except PacketRefused as refused:
            log.warning("A message of client %.100r to %.100r is refused: %s", message.client_id, message.topic,
                        refused.why or reasons.TEXTS[refused.code])

    def run_publish_hooks(self, message: Message) -> Message | PacketRefused | None:
        """The message as the handlers of `message.publish` leave it, or a refusal; None where a handler stops it or
        fails."""
        try:
            return self.hooks.fold_publish(message)
        except HandlerFailed:
            return None
        except Exception:
            log.exception("A handler of message.publish failed: a message of client %.100r is not delivered",
                          message.client_id)
            return None

    def subscribe(self, client_id: str, topic: str, qos: int) -> bool:
        """Adds a subscription to a session, without a packet to its client; False when there is no such session."""
        session = self.engine.sessions.get(client_id)
        if session is None:
            return False
        subscribe(self.engine, session, topic.encode(), qos)
        self.subscribing.send_retained(session)
        return True

    def unsubscribe(self, client_id: str, topic: str) -> bool:
        """Removes a subscription, without a packet to its client; False when there is no such session."""
        session = self.engine.sessions.get(client_id)
        if session is None:
            return False
        unsubscribe(self.engine, session, topic.encode())
        return True

    def kick(self, client_id: str) -> bool:
        """Closes a client's connection; its will is sent. False when it is not connected."""
        session = self.engine.sessions.get(client_id)
        if session is None or session.channel is None:
            return False
        session.channel.close("kicked", reasons.ADMINISTRATIVE_ACTION)
        return True

    def restore(self, stored: Stored, retained: RetainedStore) -> None:
        """Takes over what the store has. Called once, before the broker has clients."""
        Restore(self.engine, self.durable, self.session_manager, self.delayed,
                stored=stored, retained=retained, zone_of=self.zone_of).run()

    # -- what the engine asks and reports -------------------------------------------------------------

    def on_disconnect(self, channel: Channel, packet: Disconnect) -> None:
        """MQTT 5.0, section 3.14: a normal end deletes the will; the packet may change the session's expiry. The
        routing core handles a DISCONNECT with neither reason code nor properties."""
        session = channel.session
        expiry = packet.properties.get("session_expiry_interval")
        if expiry is not None:
            if expiry and session.expiry_interval == 0:
                channel.close("protocol_error", reasons.PROTOCOL_ERROR)  # section 3.14.2.2.2
                return
            session.expire_after(min(expiry, channel.zone.max_session_expiry))
        if packet.reason_code == reasons.SUCCESS:
            channel.close("normal")  # which deletes the will [MQTT-3.14.4-3]
        else:
            channel.close("disconnected_with_reason")

    def on_publish(self, channel: Channel, message: Message) -> Message | int | None:
        """The message that continues; None where none does; or the reason code that refuses it."""
        message.publisher = channel.context
        hooked = self.run_publish_hooks(message)
        if isinstance(hooked, PacketRefused):
            return hooked.code
        if hooked is not None and hooked.topic != message.topic:
            verdict = self.access.verdict_of_new_name(channel, message.topic, hooked.topic)
            if verdict != ALLOW:
                self.engine.metrics.count("dropped/acl_denied")
                return reasons.NOT_AUTHORIZED
        return hooked

    def on_reports(self, reports: list[tuple[Any, ...]]) -> None:
        """Calls the handlers of `message.delivered`, `.dropped`, `.acked` and `.traced`."""
        for point, *args in reports:
            self.hooks.run(point, *args)

    def on_retained_sent(self, session: Session, topic_filter: bytes) -> None:
        """Stores that no retained message is pending. The subscription may have been replaced meanwhile, with other
        options."""
        row = self.router.lookup(topic_filter, session)
        if row is not None:
            topic, _, options, subid = row
            self.durable.subscribed(session, topic, options, subid)

    def on_awaiting_rel(self, channel: Channel) -> None:
        """A client sent more QoS 2 messages without their PUBREL than its zone allows."""
        log.warning("Client %.100r has sent more than %d QoS 2 messages without their PUBREL", channel.client_id,
                    channel.zone.max_awaiting_rel)

    def reason_text(self, code: int) -> str:
        """The Reason String of a reason code; empty where it has none."""
        return reasons.TEXTS.get(code, "")

    def on_denied(self, channel: Channel, topic: bytes) -> None:
        """The ACL refused a PUBLISH, which was answered."""
        name = topic.decode()
        log.info("Client %.100r may not publish to %.100r", channel.client_id, name)
        self.hooks.run("client.denied", channel, name)

    def on_slow(self, channel: Channel) -> None:
        """The socket stays full, so QoS 0 messages for the client are dropped. Logged once for each connection."""
        log.warning("Client %.100r does not read: QoS 0 messages for it are dropped", channel.client_id)

    def connected(self) -> None:
        """A client was accepted."""
        self.session_manager.online += 1
        self.stats.clients_grew()

    def on_closed(self, channel: Channel, reason: str) -> None:
        """A connection is over; `reason` as `shutdown_count` has it."""
        channel.listener.closed(reason, channel.accepted_from)
        log_ended(channel, reason)
        self.enhanced.forget(channel)
        session = channel.session
        if session is None:
            if reason == "unacceptable_protocol_version":
                log_refused("", None, channel.peer, reasons.TEXTS[reasons.UNSUPPORTED_PROTOCOL_VERSION])
            return
        self.session_manager.online -= 1
        if self.grants.any:
            self.grants.end(channel, channel.context)
        if session.channel is None:
            # A client whose CONNACK still waited for the store was not accepted [MQTT-3.1.2-8].
            self.session_manager.leave(session, send_will=reason != "normal" and not channel.is_corked)
        if reason not in TAKEN_OVER:
            self.hooks.run("client.disconnected", channel.context, reason)
        if channel.zone.enable_flapping_detect:
            self.flapping.disconnected(session.client_id, channel.zone, self.now)

    def on_error(self, channel: Channel, error: BaseException) -> None:
        """A fault of the broker. It ends this connection only."""
        log.error("The connection of client %.100r is closed after an internal error", channel.client_id,
                  exc_info=error)
        channel.close("internal_error", reasons.UNSPECIFIED_ERROR)

    # -- time -------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Monotonic milliseconds of the latest turn."""
        return self.engine.now

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Calls `call` with the first tick after `seconds`."""
        return self.timers.at(self.now + int(seconds * 1000), call)

    def tick(self, now: int, silent: list[Channel]) -> None:
        """Called ten times a second. `silent` are channels that have sent nothing for too long."""
        for channel in silent:
            if channel.is_open:
                channel.close("keepalive_timeout", reasons.KEEP_ALIVE_TIMEOUT)
            else:
                channel.close("idle_timeout" if channel.is_shaken else "handshake_timeout")
        self.timers.run(now)
        self.verdicts.shed()
        self.flapping.sweep(now)
        self.durable.keep_time()
        self.stats.tick()
        level.look()

    # -- inside -------------------------------------------------------------------------------------------

    def _hooks_changed(self, point: str) -> None:
        engine = self.engine
        prefixes = self.hooks.prefixes("message.publish")
        engine.hook_publish("" in prefixes, [prefix.encode() for prefix in prefixes if prefix])
        engine.subscribe_hooked = any(map(self.hooks.any, SUBSCRIBE_POINTS))
        engine.unsubscribe_hooked = self.hooks.any("client.unsubscribe")
        engine.subscribed_hooked = self.hooks.any("session.subscribed")
        engine.unsubscribed_hooked = self.hooks.any("session.unsubscribed")
        engine.hook_reports(*map(self.hooks.any, ("message.delivered", "message.dropped", "message.acked")))
        self.access.update()
