"""Zones: the named sets of limits that listeners refer to (EMQ X `zone.<name>.*`)."""


cdef class Zone:
    """`Zone(name, key=value, …)`: the defaults are those of EMQ X's shipped file for the external zone."""

    def __init__(self, str name, **settings):
        self.name = name
        self.idle_timeout = 15000
        self.max_packet_size = 1 << 20
        self.max_connect_size = 1 << 18
        self.max_clientid_len = 65535
        self.max_qos_allowed = 2
        self.max_topic_alias_size = 16384
        self.retain_available = self.wildcard_subscription = self.shared_subscription = True
        self.enable_acl_cache = True
        self.acl_cache_max_size = 32
        self.acl_cache_ttl = 60000
        self.acl_nomatch_allow = self.allow_anonymous = self.allow_dollar_publish = True
        self.keepalive_backoff = 0.75
        self.max_inflight = 32
        self.retry_interval = 20000
        self.max_awaiting_rel = 100
        self.await_rel_timeout = 300000
        self.session_expiry_interval = 7200
        self.max_session_expiry = 0xFFFFFFFF
        self.max_mqueue_len = 1000
        self.mqueue_default_priority = 255
        self.mqueue_store_qos0 = True
        for key, value in settings.items():
            setattr(self, key, value)
