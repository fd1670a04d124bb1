"""CONNECT: the checks in EMQ X's order, then the session, then CONNACK."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from emqx_mgmt.broker import reasons
from emqx_mgmt.broker.auth.access import ALLOW, UNAVAILABLE
from emqx_mgmt.broker.auth.client import CertifiedClient, Client, Grant, RelayedClient, Unavailable
from emqx_mgmt.broker.auth.enhanced import Proven
from emqx_mgmt.broker.auth.templates import is_plain
from emqx_mgmt.broker.auth.verdicts import Question, guard
from emqx_mgmt.broker.refused import BUSY, UNDECIDED, PacketRefused, refuse_connect
from emqx_mgmt.broker.sessions import NEVER
from emqx_mgmt.broker.telemetry.connection_log import log_accepted
from router_ext.protocol.codec import encode_connack
from router_ext.protocol.packets import Will
from router_ext.protocol.topic import levels, valid_name

if TYPE_CHECKING:
    from emqx_mgmt.broker.auth.access import Access
    from emqx_mgmt.broker.auth.banned import Banned
    from emqx_mgmt.broker.auth.enhanced import Enhanced
    from emqx_mgmt.broker.auth.grants import Grants
    from emqx_mgmt.broker.auth.verdicts import Verdicts
    from emqx_mgmt.broker.durable import Durable
    from emqx_mgmt.broker.hooks import Hooks
    from emqx_mgmt.broker.sessions import Sessions
    from router_ext.engine.channel import Channel
    from router_ext.engine.engine import Engine
    from router_ext.protocol.packets import Connect
    from router_ext.session.session import Session
    from router_ext.session.zone import Zone

log = logging.getLogger(__name__)


class ConnectHandler:
    """Decides about CONNECT packets, and answers them."""

    def __init__(self, engine: Engine, hooks: Hooks, verdicts: Verdicts, access: Access, grants: Grants,
                 enhanced: Enhanced, sessions: Sessions, durable: Durable, *, banned: Banned | None,
                 on_error: Callable[[Channel, BaseException], None], response_topic_prefix: str) -> None:
        self._engine = engine
        self._hooks = hooks
        self._verdicts = verdicts
        self._access = access
        self._grants = grants
        self._enhanced = enhanced
        self._sessions = sessions
        self._durable = durable
        self._banned = banned
        self._on_error = on_error
        self._response_topic_prefix = response_topic_prefix
        # By client id: what `_admit` is called with. See `_wait`.
        self._waiting: dict[str, tuple[Channel, Connect, Client, Grant, Proven | None]] = {}

    def on_connect(self, channel: Channel, packet: Connect) -> None:
        """Decides at once, or, where a decision may block, in a greenlet while the channel is held."""
        if packet.properties:
            channel.explain = packet.properties.get("request_problem_information") == 1
            channel.max_packet = packet.properties.get("maximum_packet_size", 0)
        zone: Zone = channel.zone
        client = None
        try:
            client = self._identify(channel, zone, packet)
            if zone.mountpoint is not None or packet.will is not None:
                self._check_mountpoint(zone, client, packet.will)
            if self._banned:
                self._check_banned(zone, client)
            if packet.will is not None:
                self._check_will(zone, packet.will)
        except PacketRefused as refused:
            refuse_connect(self._hooks, channel, client or packet, refused)
            return
        if client.auth_method is not None:
            self._converse(channel, packet, client)
        elif packet.will is None and not self._hooks.any("client.authenticate"):
            self._finish(channel, packet, client, self._anonymous(zone), None)
        else:
            self._decide(channel, packet, client, None)

    def _converse(self, channel: Channel, packet: Connect, client: Client) -> None:
        """A function of its own: in `on_connect`, the variables of the lambda would cost every CONNECT."""
        channel.context = client
        self._enhanced.begin(channel, client, packet.properties,
                                    lambda outcome: self._proven(channel, packet, client, outcome))

    def _proven(self, channel: Channel, packet: Connect, client: Client, outcome: Proven | PacketRefused) -> None:
        """The end of an enhanced authentication. The connection gets the user that it names; CONNECT may name no
        other."""
        if isinstance(outcome, PacketRefused):
            refuse_connect(self._hooks, channel, client, outcome)
            return
        if packet.username not in (None, outcome.username):
            refuse_connect(self._hooks, channel, client,
                           PacketRefused(reasons.NOT_AUTHORIZED, "it names another user than it has proven"))
            return
        client.username = outcome.username
        zone: Zone = channel.zone
        try:
            self._check_mountpoint(zone, client, packet.will)
            self._check_banned(zone, client)
        except PacketRefused as refused:
            refuse_connect(self._hooks, channel, client, refused)
            return
        self._decide(channel, packet, client, outcome)

    def _decide(self, channel: Channel, packet: Connect, client: Client, proven: Proven | None) -> None:
        hooks = self._hooks
        client.port = channel.listener.port
        otherwise: Grant | PacketRefused = UNDECIDED
        if hooks.may_block("client.authenticate") or (packet.will and hooks.may_block("client.check_acl")):
            self._verdicts.ask(Question(
                channel, lambda: self._authorise(channel, packet, client, proven), otherwise,
                lambda answer: self._finish(channel, packet, client, answer, proven), busy=BUSY))
            return
        self._finish(channel, packet, client, guard(
            lambda: self._authorise(channel, packet, client, proven), otherwise), proven)

    # -- checks -------------------------------------------------------------------------------------

    def _identify(self, channel: Channel, zone: Zone, packet: Connect) -> Client:
        """The client with its id: as sent, or the user name where the zone says so, or generated."""
        client_id = packet.client_id
        username = channel.listener.identify(channel) or packet.username
        if zone.use_username_as_clientid and username:
            client_id = username
        if not client_id:
            # [MQTT-3.1.3-8] 3.1.1: only with Clean Session; MQTT 3.1 knows no empty identifier.
            if packet.proto_ver == 3 or (packet.proto_ver == 4 and not packet.clean_start):
                raise PacketRefused(reasons.CLIENT_IDENTIFIER_NOT_VALID)
            client_id = f"auto-{secrets.token_hex(12)}"
        elif len(client_id.encode()) > zone.max_clientid_len:
            raise PacketRefused(reasons.CLIENT_IDENTIFIER_NOT_VALID)
        kind = RelayedClient if channel.relayed else Client
        method = packet.properties.get("authentication_method") if packet.properties else None
        # By position: keywords would cost each connection some hundred instructions.
        client = kind(client_id, username, channel.address, zone.name, packet.proto_ver, False, packet.password, method,
                      packet.is_bridge)
        return CertifiedClient.of(client, channel.peercert) if channel.peercert else client

    def _check_mountpoint(self, zone: Zone, client: Client, will: Will | None) -> None:
        """Client id and user name must not lead out of the mountpoint, and the will's topic has to fit behind it."""
        mount = client.mountpoint(zone.mountpoint)
        if mount is None:
            code = reasons.CLIENT_IDENTIFIER_NOT_VALID
            if is_plain(client.client_id):
                code = reasons.BAD_USERNAME_OR_PASSWORD
            raise PacketRefused(code, f"it does not fit into the mountpoint {zone.mountpoint}")
        if mount and not valid_name(mount):
            raise PacketRefused(reasons.CLIENT_IDENTIFIER_NOT_VALID, "its mountpoint is longer than a topic may be")
        if will is not None and (not valid_name(mount + will.topic)
                                 or 0 < zone.max_topic_levels < levels(will.topic)):
            raise PacketRefused(reasons.TOPIC_NAME_INVALID, "its will's topic is too long or too deep")

    def _check_banned(self, zone: Zone, client: Client) -> None:
        banned = self._banned
        if zone.enable_ban and banned and banned.check(
                client.client_id, client.username, client.peer[0], time.time()):
            raise PacketRefused(reasons.BANNED)

    def _check_will(self, zone: Zone, will: Will) -> None:
        if will.qos > zone.max_qos_allowed:
            raise PacketRefused(reasons.QOS_NOT_SUPPORTED)  # [MQTT-3.2.2-12]
        if will.retain and not zone.retain_available:
            raise PacketRefused(reasons.RETAIN_NOT_SUPPORTED)  # [MQTT-3.2.2-13]
        if zone.check_payload_format and will.properties.get("payload_format_indicator"):
            try:
                will.payload.decode()
            except UnicodeDecodeError:
                raise PacketRefused(reasons.PAYLOAD_FORMAT_INVALID) from None

    def _authorise(self, channel: Channel, packet: Connect, client: Client,
                   proven: Proven | None) -> Grant | PacketRefused:
        """The authentication chain, then `allow_anonymous`, then the ACL for the will's topic. The chain is skipped for
        a client that enhanced authentication has identified."""
        answer = proven.grant if proven else self._hooks.fold("client.authenticate", client)
        if answer is None:
            answer = self._anonymous(channel.zone)
        elif answer is True:
            answer = GRANTED
        if isinstance(answer, PacketRefused):
            return answer
        if isinstance(answer, Unavailable):
            return PacketRefused(reasons.SERVER_UNAVAILABLE, f"authentication cannot decide: {answer.why}")
        if not isinstance(answer, Grant):
            return PacketRefused(reasons.NOT_AUTHORIZED, "authentication says no")
        client.is_super = answer.is_super
        zone: Zone = channel.zone
        if packet.will:
            verdict = self._access.verdict_of_names(
                client, packet.will.topic, zone, client.mountpoint(zone.mountpoint) or "", answer.rules)
            if verdict == UNAVAILABLE:
                return PacketRefused(reasons.SERVER_UNAVAILABLE, "nobody can decide about its will's topic")
            if verdict != ALLOW:
                return PacketRefused(reasons.NOT_AUTHORIZED, "it may not publish to its will's topic")
        return answer

    def _anonymous(self, zone: Zone) -> Grant | PacketRefused:
        """The answer where no handler has decided: `allow_anonymous` of the zone."""
        if not zone.allow_anonymous:
            return NOBODY_DECIDES
        self._engine.metrics.count("auth/mqtt/anonymous")
        return GRANTED

    # -- outcome ------------------------------------------------------------------------------------

    def _finish(self, channel: Channel, packet: Connect, client: Client, answer: Grant | PacketRefused,
                proven: Proven | None) -> None:
        client.password = None
        if channel.is_closed:
            return
        if isinstance(answer, PacketRefused):
            refuse_connect(self._hooks, channel, client, answer)
            return
        before = self._engine.sessions.get(client.client_id)
        if before is not None and (client.client_id in self._waiting or not is_answered(before)):
            self._wait(channel, packet, client, answer, proven)
        else:
            self._admit(channel, packet, client, answer, proven, before)

    def _wait(self, channel: Channel, packet: Connect, client: Client, grant: Grant, proven: Proven | None) -> None:
        """The connection that has the session is accepted, but its CONNACK waits for the store, and goes out first.
        Else clients that keep taking a session from one another would never get a CONNACK. Of the connections that wait
        behind it, only the last one continues."""
        client_id = client.client_id
        superseded = self._waiting.get(client_id)
        self._waiting[client_id] = (channel, packet, client, grant, proven)
        if superseded is None:
            self._durable.once_on_disk(lambda: self._go_on(client_id))
        else:
            superseded[0].close("conflict")

    def _go_on(self, client_id: str) -> None:
        waiting = self._waiting.pop(client_id)
        if not waiting[0].is_closed:
            self._admit(*waiting, self._engine.sessions.get(client_id))

    def _admit(self, channel: Channel, packet: Connect, client: Client, grant: Grant, proven: Proven | None,
               before: Session | None) -> None:
        """The last step; `before` is the session that the client id has. If it raises, nothing of the connection
        stays."""
        try:
            self._accept(channel, packet, client, grant, proven, before)
        except Exception as error:
            if channel.is_open:
                self._on_error(channel, error)
                return
            log.error("CONNECT of client %.100r failed after an internal error", client.client_id, exc_info=error)
            self._sessions.give_up(client.client_id, before)
            refuse_connect(self._hooks, channel, client, PacketRefused(reasons.UNSPECIFIED_ERROR, "an internal error"))

    def _accept(self, channel: Channel, packet: Connect, client: Client, grant: Grant, proven: Proven | None,
                before: Session | None) -> None:
        zone, will, said = channel.zone, packet.will, packet.properties
        expiry = expiry_interval(zone, packet)
        stored_before = before is not None and before.is_stored
        if self._durable.full if stored_before else expiry and self._durable.short:
            refuse_connect(self._hooks, channel, client,
                           PacketRefused(reasons.QUOTA_EXCEEDED, "the message store is full"))
            return
        properties: dict[str, Any] = {}
        if packet.proto_ver == 5:
            properties = fitting(self._properties(zone, packet, client, expiry, proven), channel.max_packet)
            if 0 < channel.max_packet < len(encode_connack(False, reasons.SUCCESS, properties, 5)):
                refuse_connect(self._hooks, channel, client,
                               PacketRefused(reasons.PACKET_TOO_LARGE, "it takes no packet as long as CONNACK"))
                return
        channel.context = client
        session, present = self._sessions.open(channel, client.client_id, client.username, expiry)
        mount = (client.mountpoint(zone.mountpoint) or "").encode() or None if zone.mountpoint is not None else None
        session.set_will(signed(will, mount, client) if will else None)
        if will or session.is_stored:
            self._durable.will_changed(session)
        channel.accept(
            session,
            encode_connack(present, reasons.SUCCESS, properties, 5) if packet.proto_ver == 5 else CONNACKS[present],
            connected_at=time.time(),
            silence_limit=silence_limit(zone, packet),
            receive_max=said.get("receive_maximum", 0),
            alias_max=zone.max_topic_alias,
            peer_alias_max=said.get("topic_alias_maximum", 0),
            mount=mount,
            will_topic=will.topic if will else None,
            is_super=grant.is_super,
            stored=session.is_stored or stored_before,
        )
        if grant is not GRANTED:
            self._grants.begin(channel, client, grant)
        log_accepted(client, packet.proto_ver, present)
        if present:
            self._hooks.run("session.resumed", session)
            self._engine.resume(session)
        else:
            self._hooks.run("session.created", session)
        self._hooks.run("client.connected", client, channel)

    def _properties(self, zone: Zone, packet: Connect, client: Client, expiry: int,
                    proven: Proven | None) -> dict[str, Any]:
        """The properties of the CONNACK that accepts (section 3.2.2.3)."""
        properties: dict[str, Any] = {
            "topic_alias_maximum": zone.max_topic_alias,
            "maximum_packet_size": zone.max_packet_size,
            "retain_available": int(zone.retain_available and self._engine.retained is not None),
            "wildcard_subscription_available": int(zone.wildcard_subscription),
            "subscription_identifier_available": 1,
            "shared_subscription_available": int(zone.shared_subscription),
        }
        if zone.max_awaiting_rel:
            properties["receive_maximum"] = min(zone.max_awaiting_rel, 65535)
        if zone.max_qos_allowed < 2:
            properties["maximum_qos"] = zone.max_qos_allowed
        if not packet.client_id:
            properties["assigned_client_identifier"] = client.client_id
        if zone.server_keepalive:
            properties["server_keep_alive"] = zone.server_keepalive
        if expiry != packet.properties.get("session_expiry_interval", 0):
            properties["session_expiry_interval"] = expiry
        if packet.properties.get("request_response_information") and self._response_topic_prefix:
            information = f"{self._response_topic_prefix}/{client.client_id}"
            if is_plain(client.client_id) and valid_name(information):  # the server may send none (section 3.1.2.11.6)
                properties["response_information"] = information
        if proven is not None:
            properties["authentication_method"] = client.auth_method  # [MQTT-4.12.0-5]
            if proven.data is not None:
                properties["authentication_data"] = proven.data
        return properties


GRANTED = Grant()
NOBODY_DECIDES = PacketRefused(reasons.NOT_AUTHORIZED, "nothing decides about it, and allow_anonymous is off")
# What a CONNACK says when it says nothing (section 3.2.2.3).
IMPLIED = {
    "topic_alias_maximum": 0, "retain_available": 1, "wildcard_subscription_available": 1,
    "subscription_identifier_available": 1, "shared_subscription_available": 1,
}
# Of MQTT 3, by Session Present; made once, for there is one for each connection.
CONNACKS = {present: encode_connack(present, reasons.SUCCESS, {}, 4) for present in (False, True)}
# What a client is no worse off without: it is held to the server's Maximum Packet Size in any case.
SPARED = ("maximum_packet_size", "response_information")


def is_answered(session: Session) -> bool:
    """Whether the CONNACK was sent to the connection that has the session, if there is one."""
    return session.channel is None or session.channel.is_answered


def fitting(properties: dict[str, Any], limit: int) -> dict[str, Any]:
    """[MQTT-3.1.2-24] The properties for a CONNACK of at most `limit` bytes (0: no limit): all of them, or only those
    that the client needs."""
    if limit == 0 or len(encode_connack(False, reasons.SUCCESS, properties, 5)) <= limit:
        return properties
    return {name: value for name, value in properties.items() if name not in SPARED and IMPLIED.get(name) != value}


def expiry_interval(zone: Zone, packet: Connect) -> int:
    """The session expiry in seconds. Before MQTT 5 it is the zone's, or 0 with Clean Session."""
    if packet.proto_ver == 5:
        return min(int(packet.properties.get("session_expiry_interval", 0)), zone.max_session_expiry)
    return 0 if packet.clean_start else min(zone.session_expiry_interval, NEVER)


def silence_limit(zone: Zone, packet: Connect) -> int:
    """[MQTT-3.1.2-22] One and a half keepalives, in milliseconds; the zone may set another factor."""
    keepalive = zone.server_keepalive if packet.proto_ver == 5 and zone.server_keepalive else packet.keepalive
    return int(keepalive * zone.keepalive_backoff * 2 * 1000)


def signed(will: Will, mount: bytes | None, client: Client) -> Will:
    """The will with its topic below the client's mountpoint, and with the client, for the access rules when it is
    sent."""
    if mount is not None:
        will = Will(mount.decode() + will.topic, will.payload, will.qos, will.retain, will.properties)
    will.publisher = client
    return will
