"""The keys that can be changed while the broker runs, by the names they have in `GET /configs/`.

The names of application `emqx` are those that EMQ X 3.0 has for them (behaviour, section 13). Each stands for one key
of the settings table, which is accepted for it as well.
"""

from __future__ import annotations

from dataclasses import dataclass

CORE = "emqx"


@dataclass(frozen=True, slots=True)
class HotKey:
    """A key that REST may change, by the name that the API gives it."""

    name: str
    key: str


def zone_keys(prefix: str, **keys: str) -> list[HotKey]:
    """Hot keys of the zone `external`; EMQ X 2 had no zones."""
    return [HotKey(f"{prefix}.{name}", f"zone.external.{key}") for name, key in keys.items()]


HOT_KEYS = [
    HotKey("log.console.level", "log.level"),
    HotKey("mqtt.acl_file", "acl_file"),
    HotKey("mqtt.acl_nomatch", "acl_nomatch"),
    HotKey("mqtt.allow_anonymous", "allow_anonymous"),
    HotKey("mqtt.cache_acl", "enable_acl_cache"),
    HotKey("mqtt.max_clientid_len", "mqtt.max_clientid_len"),
    HotKey("mqtt.max_packet_size", "mqtt.max_packet_size"),
    HotKey("mqtt.session.ignore_loop_deliver", "mqtt.ignore_loop_deliver"),
    *zone_keys("mqtt", keepalive_backoff="keepalive_backoff"),
    *zone_keys(
        "mqtt.client",
        enable_stats="enable_stats",
        idle_timeout="idle_timeout",
        max_publish_rate="publish_limit",
    ),
    *zone_keys("mqtt.mqueue", max_length="max_mqueue_len", store_qos0="mqueue_store_qos0"),
    *zone_keys(
        "mqtt.session",
        await_rel_timeout="await_rel_timeout",
        expiry_interval="session_expiry_interval",
        max_awaiting_rel="max_awaiting_rel",
        max_inflight="max_inflight",
        max_subscriptions="max_subscriptions",
        retry_interval="retry_interval",
        upgrade_qos="upgrade_qos",
    ),
]


def find_hot(name: str) -> HotKey | None:
    """The hot key with this name in `GET /configs/`, or with this key of the settings table."""
    return next((hot for hot in HOT_KEYS if name in (hot.name, hot.key)), None)
