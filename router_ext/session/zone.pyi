class Zone:
    @property
    def name(self) -> str: ...
    idle_timeout: int
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
    enable_acl: bool
    enable_ban: bool
    enable_stats: bool
    enable_acl_cache: bool
    acl_cache_max_size: int
    acl_cache_ttl: int
    acl_deny_disconnect: bool
    acl_nomatch_allow: bool
    allow_anonymous: bool
    allow_sys_publish: bool
    allow_dollar_publish: bool
    server_keepalive: int
    keepalive_backoff: float
    max_subscriptions: int
    max_subscriptions_per_user: int
    upgrade_qos: bool
    max_inflight: int
    retry_interval: int
    max_awaiting_rel: int
    await_rel_timeout: int
    session_expiry_interval: int
    max_mqueue_len: int
    mqueue_priorities: dict[bytes, int] | None
    mqueue_default_priority: int
    mqueue_store_qos0: bool
    mountpoint: str | None
    use_username_as_clientid: bool
    check_payload_format: bool
    max_session_expiry: int
    publish_limit_count: int
    publish_limit_period: int
    publish_limit_per_user_count: int
    publish_limit_per_user_period: int
    shutdown_count: int
    shutdown_bytes: int
    enable_flapping_detect: bool
    flapping_count: int
    flapping_period: int
    flapping_ban: int
    def __init__(self, name: str, **settings: object) -> None: ...
