"""The rows of the v3 API: key names and their order are those of the reference document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from emqx_mgmt.broker.telemetry.about import datetime_text
from router_ext.engine.inspect import connection_members

if TYPE_CHECKING:
    from emqx_mgmt.settings import Key
    from router_ext.session.session import Session

UNDEFINED = "undefined"
# Of kinds of settings, where v3 has an odd name.
KIND_NAMES = {"float": "number", "integer, duration": "duration"}
WORD_BYTES = 8


class Connection(Struct, gc=False):
    """A row of `GET /connections/`; `connected_at` as local time, `keepalive` in seconds."""

    clean_start: bool
    client_id: str
    connected_at: str
    ipaddress: str
    is_bridge: bool
    is_super: bool
    keepalive: int
    mountpoint: str
    node: str
    peercert: str
    port: int
    proto_name: str
    proto_ver: int
    username: str
    will_topic: str
    zone: str


class SessionRow(Struct, gc=False):
    """`heap_size`: machine words of the session object with what it owns; `reductions`: packets and
    messages handled for it so far; `mailbox_len`: bytes that its socket has not taken yet."""

    awaiting_rel_len: int
    binding: str
    clean_start: bool
    client_id: str
    created_at: str
    deliver_msg: int
    enqueue_msg: int
    expiry_interval: int
    heap_size: int
    inflight_len: int
    mailbox_len: int
    max_awaiting_rel: int
    max_inflight: int
    max_mqueue: int
    max_subscriptions: int
    mqueue_dropped: int
    mqueue_len: int
    node: str
    reductions: int
    subscriptions_count: int
    username: str


class ExtendedConnection(Connection, gc=False):
    """With what EMQ X merges in once its statistics tick has come (behaviour, 6.1), and the state of the socket.

    `mailbox_len`: acknowledgements withheld; `is_slow`: its QoS 0 messages are dropped; `is_held`: its
    socket is not read, because a limit or somebody else's socket says so."""

    mailbox_len: int
    heap_size: int
    reductions: int
    recv_pkt: int
    recv_msg: int
    send_pkt: int
    send_msg: int
    recv_oct: int
    recv_cnt: int
    send_oct: int
    send_cnt: int
    send_pend: int
    is_slow: bool
    is_held: bool
    connected_at_ts: int


class ExtendedSession(SessionRow, gc=False):
    """With the state of the queue and of the socket; `connected`: its client is; `publishers_waiting`: for room in the
    queue."""

    mqueue_bytes: int
    publishers_waiting: int
    send_pend: int
    is_slow: bool
    connected: bool
    created_at_ts: int


class Subscription(Struct, gc=False):
    """A row of `GET /subscriptions/`."""

    client_id: str
    node: str
    qos: int
    topic: str


class ExtendedSubscription(Subscription, gc=False):
    """With the group of a shared subscription, or `undefined`, the options of MQTT 5 (section 3.8.3.1), and the
    subscription identifier, 0 for none."""

    group: str
    no_local: bool
    retain_as_published: bool
    retain_handling: int
    subscription_id: int


class Route(Struct, gc=False):
    """A row of `GET /routes/`: a topic or filter, and a node with subscribers to it."""

    node: str
    topic: str


class Listener(Struct, gc=False):
    """A row of `GET /listeners/`; `shutdown_count` is an empty list where EMQ X has one."""

    acceptors: int
    current_conns: int
    listen_on: str
    max_conns: int
    protocol: str
    shutdown_count: dict[str, int] | list[Any]


class ExtendedListener(Listener, gc=False):
    """`identifier`: by what it is stopped and started; `running`: whether it accepts connections."""

    identifier: str
    running: bool


class CertificateRow(Struct, gc=False):
    """Of a listener over TLS; `expires_at` is `undefined` where it has no certificate, but pre-shared keys."""

    listener: str
    listen_on: str
    certfile: str
    expires_at: str
    days_left: int | str
    node: str


class AclRead(Struct, gc=False):
    """`file` is empty where there is none, and the rules are those that come with the broker."""

    file: str
    rules: int


class TraceRow(Struct, gc=False):
    """`client_id` or `topic` is what it is of, the other one `undefined`; `owner`: who asked for it."""

    id: str
    client_id: str
    topic: str
    owner: str
    started_at: str
    node: str


class AlarmRow(Struct, gc=False):
    """An alarm that is present; `timestamp` as local time."""

    id: str
    severity: str
    summary: str
    timestamp: str
    title: str


class PresentAlarm(AlarmRow, gc=False):
    """As v3.2 lists it, which has the summary in `desc` and none of the other members but `id`. `timestamp_ts`: with
    `_fields=extended`, in unix seconds."""

    desc: str
    timestamp_ts: int | UnsetType = UNSET


class ClearedAlarm(AlarmRow, gc=False):
    """`…_ts`: with `_fields=extended`, in unix seconds."""

    desc: str
    clear_at: str
    timestamp_ts: int | UnsetType = UNSET
    clear_at_ts: int | UnsetType = UNSET


class ConfigItem(Struct, gc=False):
    """`datatpye` is spelt as every v3 product spells it."""

    key: str
    value: str
    datatpye: str
    app: str


class LogLevel(Struct, gc=False):
    """`set`: by a setting of its own."""

    component: str
    level: str
    set: bool


class PluginSetting(Struct, gc=False):
    """`required`: a value is set."""

    key: str
    value: str
    desc: str
    required: bool


class ExtendedConfigItem(ConfigItem, kw_only=True, gc=False):
    """With what a form needs. `setting`: the key in the configuration file. `kind`: flag, enum, integer, number,
    duration, bytesize, percent, ip, string or secret; `low` and `high` in `unit`s, which are meant where a value is a
    bare number; `default`: as values are shown; `hot`: a change takes effect at once; `source`: default, file,
    environment, or stored (changed over REST)."""

    setting: str
    desc: str
    kind: str
    choices: list[str]
    low: float | None
    high: float | None
    unit: str
    default: str
    hot: bool
    secret: bool
    source: str


class ExtendedPluginSetting(PluginSetting, kw_only=True, gc=False):
    """The same of a plugin's; `shown`: the value in effect, a number in `unit`s. A key with `$n` stands for any number
    of keys with a word in its place."""

    shown: str
    kind: str
    choices: list[str]
    low: float | None
    high: float | None
    unit: str
    default: str
    hot: bool
    secret: bool
    source: str


def form(key: Key, hot: bool, default: str, source: str) -> dict[str, Any]:
    """Those members, by name."""
    kind = key.kind
    return {
        "kind": "secret" if key.secret else KIND_NAMES.get(kind.label, kind.label), "choices": list(kind.choices),
        "low": kind.low, "high": kind.high, "unit": kind.unit, "default": "" if key.secret else default, "hot": hot,
        "secret": key.secret, "source": source,
    }


class Broker(Struct, gc=False):
    """The row of `GET /brokers/:node`."""

    datetime: str
    node_status: str
    otp_release: str
    sysdescr: str
    uptime: str
    version: str


class ListedBroker(Struct, gc=False):
    """The list form names its node."""

    datetime: str
    node: str
    node_status: str
    otp_release: str
    sysdescr: str
    uptime: str
    version: str


class NodeInfo(Struct, gc=False):
    """`memory_used`: resident bytes of the process; `memory_total`: the memory it may use (of its control
    group or the machine). `process_used`: threads of the process; `process_available`: how many it may
    have. `load*`: the machine's load averages."""

    connections: int
    load1: str
    load15: str
    load5: str
    max_fds: int
    memory_total: int
    memory_used: int
    name: str
    node_status: str
    otp_release: str
    process_available: int
    process_used: int
    uptime: str
    version: str


class ListedNode(Struct, gc=False):
    """The list form has `node` beside `name`, and memory as text."""

    connections: int
    load1: str
    load15: str
    load5: str
    max_fds: int
    memory_total: str | int
    memory_used: str | int
    name: str
    node: str
    node_status: str
    otp_release: str
    process_available: int
    process_used: int
    uptime: str
    version: str


class ExtendedNode(ListedNode, kw_only=True, gc=False):
    """Memory in bytes. `max_connections`: what the listeners allow, or the descriptor limit leaves; `hub_lag_ms`: how
    late the loop was at most in the last ten seconds."""

    uptime_s: int
    datetime_ts: int
    max_connections: int
    hub_lag_ms: float


# Rows are built by the ten thousand: arguments in the order of the fields cost half of what keywords do.


def connection(node: str, session: Session) -> Connection | None:
    """None when the connection ended since the session was listed."""
    members = connection_members(session, node, datetime_text)
    return None if members is None else Connection(*members)


def session(node: str, of: Session) -> SessionRow:
    """The row of a session; where the zone has `enable_stats` off, the counters read 0."""
    channel = of.channel
    counted = int(of.zone.enable_stats)  # without statistics they read 0
    packets = channel.recv_pkt + channel.send_pkt if channel is not None else 0
    return SessionRow(
        of.awaiting_rel_len * counted,
        "local",
        of.clean_start,
        of.client_id,
        datetime_text(of.created_at),
        of.deliver_msg * counted,
        of.enqueue_msg * counted,
        expiry_interval(of),
        sys.getsizeof(of) // WORD_BYTES * counted,
        of.inflight_len * counted,
        channel.send_pend * counted if channel is not None else 0,
        of.max_awaiting_rel,
        of.max_inflight,
        of.max_mqueue,
        of.max_subscriptions,
        of.mqueue_dropped * counted,
        of.mqueue_len * counted,
        node,
        (of.deliver_msg + of.enqueue_msg + packets) * counted,
        of.subscription_count * counted,
        UNDEFINED if of.username is None else of.username,
    )


def expiry_interval(of: Session) -> int:
    """Seconds. The reference shows the zone's interval for a clean session of MQTT 3 too, although it ends with its
    connection (behaviour, section 24, row 19)."""
    clean_of_mqtt3 = of.clean_start and of.channel is not None and of.channel.proto_ver < 5
    return of.zone.session_expiry_interval if clean_of_mqtt3 else of.expiry_interval


def extended_connection(node: str, of: Session) -> ExtendedConnection | None:
    """None when the session has no connection."""
    row, channel = connection(node, of), of.channel
    if row is None or channel is None:
        return None
    return ExtendedConnection(
        **asdict(row),
        mailbox_len=channel.acks_withheld,
        heap_size=sys.getsizeof(channel) // WORD_BYTES,
        reductions=channel.recv_pkt + channel.send_pkt,
        recv_pkt=channel.recv_pkt,
        recv_msg=channel.recv_msg,
        send_pkt=channel.send_pkt,
        send_msg=channel.send_msg,
        recv_oct=channel.recv_oct,
        recv_cnt=channel.recv_cnt,
        send_oct=channel.send_oct,
        send_cnt=channel.send_cnt,
        send_pend=channel.send_pend,
        is_slow=channel.is_slow,
        is_held=channel.is_held,
        connected_at_ts=int(channel.connected_at),
    )


def extended_session(node: str, of: Session) -> ExtendedSession:
    """The row with members that EMQ X does not have."""
    channel = of.channel
    return ExtendedSession(
        **asdict(session(node, of)),
        mqueue_bytes=of.mqueue_bytes,
        publishers_waiting=of.publishers_waiting,
        send_pend=channel.send_pend if channel is not None else 0,
        is_slow=channel is not None and channel.is_slow,
        connected=channel is not None,
        created_at_ts=int(of.created_at),
    )
