"""The settings table: every key the broker knows.

A part written `$name` stands for a word that the user chooses (`[a-z0-9_]+` without `__`). `named` gives the defaults
of well-known words where they differ from `default`. A zone key whose default is None falls back to `twin`, the
global key of the same meaning.
"""

from __future__ import annotations

from emqx_mgmt.settings.acl_file import DEFAULT as DEFAULT_ACL_FILE
from emqx_mgmt.settings.key import Key
from emqx_mgmt.settings.kinds import (
    ACL_FILE,
    APPLICATION,
    BYTESIZE,
    DURATION_KIND,
    FLAG,
    MOUNTPOINT,
    NETWORKS,
    NODE_NAME,
    PATH,
    PERCENT,
    PRIORITIES,
    RATE,
    REWRITE,
    STRING,
    THRESHOLD,
    WORDS,
    Kind,
    bytesize,
    duration,
    enum,
    integer,
    number,
)
from emqx_mgmt.settings.listener_keys import HTTP_LISTENERS, MQTT_LISTENERS

# Names of listeners and zones that exist without being set.
SHIPPED = ("external", "internal")


def zone_key(name: str, kind: Kind, default: str | None, doc: str, **shipped: str) -> Key:
    """A key that each zone has; `shipped` are defaults of shipped zones."""
    return Key(f"zone.$zone.{name}", kind, default, doc, named=shipped)


def zone_twin(name: str, twin: str, doc: str, **shipped: str) -> Key:
    """A zone key that overrides a global one."""
    return Key(f"zone.$zone.{name}", GLOBAL_KINDS[twin], None, doc, named=shipped, twin=twin)


def rendering(listener: str) -> tuple[Key, Key, Key]:
    """The settings for the style of answers of an HTTP listener."""
    return (
        Key(f"{listener}.style", enum("bare", "envelope"), "bare", "Bare values, or {code, data, meta}."),
        Key(f"{listener}.envelope_agents", WORDS, "",
            "Beginnings of User-Agents that get {code, data, meta} all the same; Go-http-client for emq_exporter."),
        Key(f"{listener}.names", enum("slashes", "dots"), "slashes", "Counter names as in 3.0 or as in 3.2."),
    )


def water_marks(name: str, what: str, high: int, low: int) -> tuple[Key, Key]:
    """The two keys of one watermark, in percent."""
    return (
        Key(f"monitor.{name}_high_watermark", PERCENT, f"{high}%", f"An alarm is raised when {what} is above."),
        Key(f"monitor.{name}_low_watermark", PERCENT, f"{low}%", f"The alarm is cleared when {what} is below."),
    )


GLOBAL = [
    Key("node.name", NODE_NAME, "emqx@127.0.0.1", "The name of this node, name@host."),
    Key("node.data_dir", PATH, "data", "Where the broker keeps what must survive a restart."),
    Key("durability", enum("fsync", "async", "off"), "fsync",
        "Acknowledge what is stored after it is on disk, before it is, or store no sessions and messages at all."),
    Key("log.level", enum("debug", "info", "warning", "error"), "info", "The least severe event that is logged."),
    Key("log.level.$component", enum("debug", "info", "warning", "error"), None,
        "The same for api, broker, listeners, modules, monitor, node, plugins, server, storage, or one plugin.",
        twin="log.level"),
    Key("log.burst_limit", RATE, "20,10s",
        "count,duration: how many lines from one place in the code are written, and one that counts the rest."),
    Key("log.format", enum("text", "json"), "text", "One line of text or one JSON object an event."),
    Key("allow_anonymous", FLAG, "true", "Accept clients that no authentication decides about."),
    Key("acl_nomatch", enum("allow", "deny"), "allow", "The verdict when no ACL rule matches."),
    Key("acl_file", ACL_FILE, DEFAULT_ACL_FILE,
        "The ACL rules; where this is not set, and there is no such file, those shipped."),
    Key("acl_deny_action", enum("ignore", "disconnect"), "ignore", "What a refused publish or subscribe leads to."),
    Key("enable_acl_cache", FLAG, "on", "Remember ACL verdicts for each client."),
    Key("acl_cache_max_size", integer(1), "32", "How many verdicts are remembered for a client."),
    Key("acl_cache_ttl", DURATION_KIND, "1m", "How long a verdict is remembered."),
    Key("mqtt.max_packet_size", BYTESIZE, "1MB", "The largest packet accepted; a larger one closes the connection."),
    Key("mqtt.max_connect_size", BYTESIZE, "256KB",
        "The largest CONNECT accepted, and AUTH before CONNACK: so much may be held of a client that is not known."),
    Key("mqtt.max_clientid_len", integer(1, 65535), "65535", "The longest client id accepted, in bytes."),
    Key("mqtt.max_topic_levels", integer(), "0", "The most levels a topic or topic filter may have; 0 for no limit."),
    Key("mqtt.max_qos_allowed", integer(0, 2), "2", "The highest QoS a client may publish or subscribe with."),
    Key("mqtt.max_topic_alias", integer(0, 65535), "64",
        "The highest MQTT 5 topic alias a client may use; 0 for none (EMQ X's default)."),
    Key("mqtt.max_topic_alias_size", BYTESIZE, "16KB",
        "The most bytes that the topics of a client's aliases may have together; more closes the connection."),
    Key("mqtt.retain_available", FLAG, "true", "Whether clients may publish retained messages."),
    Key("mqtt.wildcard_subscription", FLAG, "true", "Whether clients may subscribe with + and #."),
    Key("mqtt.shared_subscription", FLAG, "true", "Whether clients may use $share and $queue."),
    Key("mqtt.ignore_loop_deliver", FLAG, "false", "MQTT 3.x: do not deliver a client its own messages."),
    Key("mqtt.allow_sys_publish", FLAG, "false",
        "Whether clients may publish to $SYS topics where the ACL lets them; bridges may in any case publish to "
        "$SYS/broker/connection/<their client id>/state."),
    Key("mqtt.allow_dollar_publish", FLAG, "true",
        "Whether clients may publish to other topics that begin with $ and have no meaning to the broker."),
    Key("mqtt.check_payload_format", FLAG, "false",
        "MQTT 5: refuse a payload that is said to be UTF-8 text (Payload Format Indicator) and is not."),
    Key("mqtt.max_outbox_size", bytesize(128 << 10), "16MB",
        "The most bytes that may wait for a client whose socket is full; above, QoS 0 messages for it are dropped."),
    Key("mqtt.max_total_outbox_size", bytesize(1 << 20), "512MB",
        "The most bytes that may wait for all such clients; above, QoS 0 messages for the fullest are dropped."),
    Key("mqtt.response_topic_prefix", STRING, "emqxrspv1", "MQTT 5 Response Information, sent when asked for."),
    Key("monitor.check_interval", DURATION_KIND, "30s", "How often alarms are raised and cleared."),
    *water_marks("cpu", "CPU usage", 80, 60),
    *water_marks("sysmem", "usage of the machine's memory", 70, 60),
    *water_marks("procmem", "the broker's share of the machine's memory", 50, 40),
    *water_marks("connections", "the share of possible connections in use", 80, 60),
    *water_marks("disk", "usage of the data directory's disk", 90, 85),
    Key("monitor.hub_lag_high_watermark", number(0), "500", "An alarm is raised when the event loop is later, in ms."),
    Key("monitor.hub_lag_low_watermark", number(0), "100", "The alarm is cleared when it is less late, in ms."),
    Key("monitor.failed_logins_high_watermark", number(0), "10",
        "An alarm is raised when more log-ins to the API fail within a minute."),
    Key("monitor.failed_logins_low_watermark", number(0), "1", "The alarm is cleared when fewer do."),
    Key("monitor.certificate_notice", DURATION_KIND, "30d", "How long before a certificate's end an alarm is raised."),
    Key("broker.sys_interval", DURATION_KIND, "1m", "How often the $SYS topics are published; 0 for never."),
    Key("broker.shared_subscription_strategy", enum("random", "round_robin", "sticky", "hash"), "random",
        "Which member of a shared subscription gets a message."),
    Key("broker.shared_dispatch_ack_enabled", FLAG, "false",
        "Try another member when the chosen one of a shared subscription does not take a QoS 1 or 2 message."),
    Key("plugins.loaded", WORDS, "emqx_dashboard,emqx_delayed_publish,emqx_management,emqx_recon,emqx_retainer",
        "The plugins to load at the start, but for those loaded or unloaded over REST since."),
    Key("plugins.etc_dir", PATH, "etc/plugins", "Where the plugins' own files are, each <plugin>.conf."),
    Key("plugins.hook_deadline", DURATION_KIND, "5s",
        "How long a plugin may take to decide; then the client is refused as if the server were unavailable."),
    Key("plugins.concurrent_decisions", integer(1), "64",
        "How many decisions of plugins that wait, for a database say, are made at a time."),
    Key("plugins.waiting_decisions", integer(1), "10000",
        "How many may wait for their turn; then CONNECT is refused as the server being busy."),
    Key("plugins.decision_patience", DURATION_KIND, "10s",
        "How long a CONNECT waits for its turn; then it is refused."),
    Key("plugins.processor_limit", DURATION_KIND, "1s",
        "How long a plugin may hold the processor without a pause; then it is interrupted."),
]

MODULE = [
    Key("module.presence", FLAG, "on", "Tell below $SYS/brokers/<node>/clients/ who connects and disconnects."),
    Key("module.presence.qos", integer(0, 2), "1", "The QoS of those messages."),
    Key("module.subscription", FLAG, "off", "Subscribe each new session to the topics below."),
    Key("module.subscription.$n.topic", STRING, "", "A topic filter; %c is the client id, %u the user name."),
    Key("module.subscription.$n.qos", integer(0, 2), "0", "The QoS of that subscription."),
    Key("module.rewrite", FLAG, "off", "Rewrite the topics of PUBLISH, SUBSCRIBE and UNSUBSCRIBE by the rules below."),
    Key("module.rewrite.rule.$n", REWRITE, "",
        "filter regex destination, such as x/# ^x/y/(.+)$ z/y/$1: the first rule whose filter matches decides."),
]

LISTENER = [
    *MQTT_LISTENERS,
    *HTTP_LISTENERS,
    Key("management.max_row_limit", integer(1), "10000", "The rows of a page that does not say how many."),
    Key("management.max_body_size", BYTESIZE, "1MB", "The largest request body accepted."),
    Key("management.max_header_size", bytesize(1), "8KB",
        "The longest line of a request's head accepted; all of them together may have eight times that."),
    Key("management.max_headers", integer(1, 32768), "100", "The most header lines of a request accepted."),
    Key("management.header_timeout", DURATION_KIND, "15s", "How long a client may take for the head of a request."),
    Key("management.keepalive_timeout", DURATION_KIND, "75s",
        "How long a connection may take for its next request, idle time and head together."),
    Key("management.body_timeout", DURATION_KIND, "60s", "How long a client may take for a whole body."),
    Key("management.send_timeout", DURATION_KIND, "15s", "How long a client may pause in a body, sent or received."),
    Key("management.audit_records", integer(), "10000",
        "How many changes made over REST or on the command line, and failed log-ins, are on record; 0 for none."),
    Key("management.slow_subscriber_threshold", DURATION_KIND, "500ms",
        "How long a message may wait for a connected client; one that takes longer is a slow subscriber."),
    Key("management.cors_origins", WORDS, "",
        "Pages of other sites whose scripts may read answers and change things, by Origin, or *."),
    Key("management.proxy_trusted", NETWORKS, "",
        "HTTP proxies before management and dashboard that are believed; nothing from them counts as this machine."),
    Key("management.proxy_address_header", STRING, "X-Forwarded-For", "Where they name the client's address."),
    *rendering("management"),
    Key("management.metrics.from", enum("loopback", "anywhere"), "loopback",
        "Who may read the Prometheus metrics at /metrics."),
    Key("management.metrics.auth", FLAG, "off", "Whether /metrics asks for credentials as the REST API does."),
    Key("management.bootstrap_app", APPLICATION, "",
        "appid:secret of an application that a start makes where none has this id; one that is there stays as it is.",
        secret=True),
    *rendering("dashboard"),
    Key(
        "dashboard.default_user.login",
        STRING,
        "admin",
        "The user that the first start creates; empty for none.",
    ),
    Key(
        "dashboard.default_user.password",
        STRING,
        "public",
        "That user's password, set while the shipped one stands, which is accepted from this machine only.",
        secret=True,
    ),
    Key("dashboard.login.idle_timeout", duration(1), "8h", "How long a log-in of a browser may stay unused."),
    Key("dashboard.login.lifetime", duration(1), "24h", "How long it lasts in all."),
    Key("dashboard.allowed_origins", WORDS, "",
        "Origins under which browsers see the dashboard, behind a proxy that does not pass the Host on."),
]

GLOBAL_KINDS = {key.name: key.kind for key in GLOBAL}

ZONE = [
    zone_key("idle_timeout", DURATION_KIND, "15s", "How long a client may wait before it sends CONNECT."),
    zone_key("publish_limit", RATE, "", "count,duration: how fast a client may publish; empty for no limit."),
    zone_key("publish_limit_per_user", RATE, "", "count,duration: how fast the clients of one user name may publish "
             "together; empty for no limit. Clients without a user name are not counted."),
    zone_twin("allow_anonymous", "allow_anonymous", "Overrides allow_anonymous.", internal="true"),
    zone_twin("acl_nomatch", "acl_nomatch", "Overrides acl_nomatch."),
    zone_key("enable_acl", FLAG, "off", "Whether ACL rules are asked.", external="on"),
    zone_key("enable_ban", FLAG, "off", "Whether bans are looked at.", external="on"),
    zone_key("enable_stats", FLAG, "off", "Whether sessions show statistics; else they read 0.",
             external="on", internal="on"),
    zone_twin("acl_deny_action", "acl_deny_action", "Overrides acl_deny_action."),
    zone_key("force_gc_policy", THRESHOLD, "0|0MB", "Known for compatibility; no effect.", external="1000|1MB"),
    zone_key("force_shutdown_policy", THRESHOLD, "0|0MB",
             "messages|bytes waiting for a client above which its connection is closed; 0 for never."),
    zone_twin("max_packet_size", "mqtt.max_packet_size", "Overrides mqtt.max_packet_size."),
    zone_twin("max_connect_size", "mqtt.max_connect_size", "Overrides mqtt.max_connect_size."),
    zone_twin("max_clientid_len", "mqtt.max_clientid_len", "Overrides mqtt.max_clientid_len."),
    zone_twin("max_topic_levels", "mqtt.max_topic_levels", "Overrides mqtt.max_topic_levels."),
    zone_twin("max_qos_allowed", "mqtt.max_qos_allowed", "Overrides mqtt.max_qos_allowed."),
    zone_twin("max_topic_alias", "mqtt.max_topic_alias", "Overrides mqtt.max_topic_alias."),
    zone_twin("max_topic_alias_size", "mqtt.max_topic_alias_size", "Overrides mqtt.max_topic_alias_size."),
    zone_twin("retain_available", "mqtt.retain_available", "Overrides mqtt.retain_available."),
    zone_twin("wildcard_subscription", "mqtt.wildcard_subscription", "Overrides mqtt.wildcard_subscription."),
    zone_twin("shared_subscription", "mqtt.shared_subscription", "Overrides mqtt.shared_subscription."),
    zone_twin("ignore_loop_deliver", "mqtt.ignore_loop_deliver", "Overrides mqtt.ignore_loop_deliver."),
    zone_twin("allow_sys_publish", "mqtt.allow_sys_publish", "Overrides mqtt.allow_sys_publish."),
    zone_twin("allow_dollar_publish", "mqtt.allow_dollar_publish", "Overrides mqtt.allow_dollar_publish."),
    zone_twin("check_payload_format", "mqtt.check_payload_format", "Overrides mqtt.check_payload_format."),
    zone_key("server_keepalive", integer(0, 65535), "0", "MQTT 5 Server Keep Alive in seconds; 0 for the client's."),
    zone_key("keepalive_backoff", number(0.5), "0.75", "Closed after keepalive * backoff * 2 without a byte."),
    zone_key("max_subscriptions", integer(), "0", "The most subscriptions of a session; 0 for no limit."),
    zone_key("max_subscriptions_per_user", integer(), "0", "The most subscriptions of all sessions of one user name; "
             "0 for no limit. Clients without a user name are not counted."),
    zone_key("max_connections_per_user", integer(), "0",
             "The most connections of one user name; 0 for no limit. Clients without a user name are not counted."),
    zone_key("upgrade_qos", FLAG, "off", "Deliver at the higher QoS of message and subscription, not the lower."),
    zone_key("max_inflight", integer(0, 65535), "0", "The most QoS 1 and 2 messages in flight; 0 for no limit.",
             external="32", internal="32"),
    zone_key("retry_interval", DURATION_KIND, "20s", "When an unacknowledged message is sent again (MQTT 3.x)."),
    zone_key("max_awaiting_rel", integer(0, 65535), "0", "The most QoS 2 messages waiting for PUBREL; 0 for no limit.",
             external="100", internal="100"),
    zone_key("await_rel_timeout", DURATION_KIND, "300s", "How long a QoS 2 message waits for its PUBREL."),
    zone_key("session_expiry_interval", DURATION_KIND, "2h", "How long an MQTT 3.x session outlives its connection."),
    zone_key("max_session_expiry_interval", DURATION_KIND, "0",
             "The longest session expiry an MQTT 5 client gets; 0 for as long as it asks."),
    zone_key("max_mqueue_len", integer(), "1000", "The most messages queued for a session; 0 for no limit."),
    zone_key("mqueue_priorities", PRIORITIES, "none", "topic=priority,...: which queued messages go first."),
    zone_key("mqueue_default_priority", enum("lowest", "highest"), "lowest", "The priority of topics not listed.",
             external="highest"),
    zone_key("mqueue_store_qos0", FLAG, "true", "Whether QoS 0 messages are queued for absent or busy sessions."),
    zone_key("mountpoint", MOUNTPOINT, "", "A prefix to every topic; %c is the client id, %u the user name."),
    zone_key("use_username_as_clientid", FLAG, "false", "Take the user name for the client id."),
    zone_key("enable_flapping_detect", FLAG, "off", "Ban clients that connect and disconnect all the time."),
    zone_key("flapping_threshold", RATE, "10,1m", "count,duration: how many disconnects are too many."),
    zone_key("flapping_banned_expiry_interval", DURATION_KIND, "1h", "How long such a client is banned."),
]

TABLE = [*GLOBAL, *MODULE, *LISTENER, *ZONE]

EXACT = {key.name: key for key in TABLE if "$" not in key.name}
PATTERNS = [(key.pattern, key) for key in TABLE if "$" in key.name]


def find(name: str) -> Key | None:
    """The table's row for a concrete key; an exact one wins over a pattern."""
    if name in EXACT:
        return EXACT[name]
    return next((key for pattern, key in PATTERNS if pattern.fullmatch(name)), None)
