"""A zone: limits of a listener's connections, and settings of their sessions."""

from __future__ import annotations

from dataclasses import dataclass

from emqx_mgmt.settings.kinds import Rate, Threshold


@dataclass(frozen=True, slots=True)
class ZoneSettings:
    """The values in effect for one zone: its own, else the global ones, else the defaults.

    Durations are seconds. 0 means "no limit" wherever a count or a length says so in the table.
    """

    name: str
    idle_timeout: float
    publish_limit: Rate | None
    publish_limit_per_user: Rate | None
    allow_anonymous: bool
    acl_nomatch: str
    enable_acl: bool
    enable_ban: bool
    enable_stats: bool
    acl_deny_action: str
    force_gc_policy: Threshold
    force_shutdown_policy: Threshold
    max_packet_size: int
    max_connect_size: int
    max_clientid_len: int
    max_topic_levels: int
    max_qos_allowed: int
    max_topic_alias: int
    max_topic_alias_size: int
    retain_available: bool
    wildcard_subscription: bool
    shared_subscription: bool
    ignore_loop_deliver: bool
    allow_sys_publish: bool
    allow_dollar_publish: bool
    check_payload_format: bool
    server_keepalive: int
    keepalive_backoff: float
    max_subscriptions: int
    max_subscriptions_per_user: int
    max_connections_per_user: int
    upgrade_qos: bool
    max_inflight: int
    retry_interval: float
    max_awaiting_rel: int
    await_rel_timeout: float
    session_expiry_interval: float
    max_session_expiry_interval: float
    max_mqueue_len: int
    mqueue_priorities: dict[str, int]
    mqueue_default_priority: str
    mqueue_store_qos0: bool
    mountpoint: str
    use_username_as_clientid: bool
    enable_flapping_detect: bool
    flapping_threshold: Rate
    flapping_banned_expiry_interval: float
