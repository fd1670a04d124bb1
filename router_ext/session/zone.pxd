"""A zone's settings as the hot path reads them: C fields, filled once from the settings table.

Shared by all channels and sessions that have the zone. The units are beside the fields. `emqx_mgmt/broker/zones.py`
fills it; nothing in the core writes to it.
"""

from libc.stdint cimport int64_t, uint32_t

cdef class Zone:
    cdef readonly str name
    cdef public uint32_t idle_timeout            # ms a socket may stay without CONNECT
    cdef public uint32_t max_packet_size         # bytes
    cdef public uint32_t max_connect_size        # bytes of a packet before CONNACK
    cdef public uint32_t max_clientid_len        # bytes
    cdef public uint32_t max_topic_levels        # 0: no limit
    cdef public uint32_t max_qos_allowed
    cdef public uint32_t max_topic_alias
    cdef public uint32_t max_topic_alias_size    # bytes of a client's aliased topics together
    cdef public bint retain_available
    cdef public bint wildcard_subscription
    cdef public bint shared_subscription
    cdef public bint ignore_loop_deliver
    cdef public bint enable_acl
    cdef public bint enable_ban
    cdef public bint enable_stats
    cdef public bint enable_acl_cache
    cdef public uint32_t acl_cache_max_size
    cdef public uint32_t acl_cache_ttl           # ms
    cdef public bint acl_deny_disconnect
    cdef public bint acl_nomatch_allow
    cdef public bint allow_anonymous
    cdef public bint allow_sys_publish
    cdef public bint allow_dollar_publish
    cdef public uint32_t server_keepalive        # seconds, 0: the client's own
    cdef public double keepalive_backoff
    cdef public uint32_t max_subscriptions       # 0: no limit
    cdef public uint32_t max_subscriptions_per_user  # 0: no limit
    cdef public bint upgrade_qos
    cdef public uint32_t max_inflight            # 0: as many as packet ids allow
    cdef public int64_t retry_interval           # ms, 0: never
    cdef public uint32_t max_awaiting_rel        # 0: no limit
    cdef public int64_t await_rel_timeout        # ms
    cdef public uint32_t session_expiry_interval  # seconds
    cdef public uint32_t max_mqueue_len          # 0: no limit; per priority
    cdef public dict mqueue_priorities           # topic bytes -> 0..255, or None
    cdef public uint32_t mqueue_default_priority
    cdef public bint mqueue_store_qos0
    cdef public object mountpoint                # template text or None
    cdef public bint use_username_as_clientid
    cdef public bint check_payload_format        # payloads said to be UTF-8 have to be
    cdef public uint32_t max_session_expiry      # seconds; the most an MQTT 5 client may ask for
    cdef public uint32_t publish_limit_count     # 0: no limit
    cdef public uint32_t publish_limit_period    # ms
    cdef public uint32_t publish_limit_per_user_count    # 0: no limit
    cdef public uint32_t publish_limit_per_user_period   # ms
    cdef public uint32_t shutdown_count          # queued messages that end a connection, 0: no limit
    cdef public size_t shutdown_bytes            # bytes waiting for a socket that end its connection, 0: no limit
    cdef public bint enable_flapping_detect
    cdef public uint32_t flapping_count          # connections in `flapping_period` that ban a client
    cdef public uint32_t flapping_period         # ms
    cdef public uint32_t flapping_ban            # seconds
