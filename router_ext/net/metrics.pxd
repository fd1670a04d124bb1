"""The node's counters: one C array, indexed by the names below; `metrics.pyx` holds their REST names in this order.

There is one Metrics for each node, the engine's. Whoever sees something happen counts it, in place. Invariants:
counters only rise, but for `MESSAGES_RETAINED`, which is a number of things; names and enumeration are of one length,
or the import fails.
"""

from libc.stdint cimport uint64_t

cdef enum Metric:
    BYTES_RECEIVED
    BYTES_SENT
    PACKETS_RECEIVED
    PACKETS_SENT
    PACKETS_CONNECT
    PACKETS_CONNACK
    PUBLISH_RECEIVED
    PUBLISH_SENT
    PUBACK_RECEIVED
    PUBACK_SENT
    PUBACK_MISSED
    PUBREC_RECEIVED
    PUBREC_SENT
    PUBREC_MISSED
    PUBREL_RECEIVED
    PUBREL_SENT
    PUBREL_MISSED
    PUBCOMP_RECEIVED
    PUBCOMP_SENT
    PUBCOMP_MISSED
    PACKETS_SUBSCRIBE
    PACKETS_SUBACK
    PACKETS_UNSUBSCRIBE
    PACKETS_UNSUBACK
    PACKETS_PINGREQ
    PACKETS_PINGRESP
    DISCONNECT_RECEIVED
    DISCONNECT_SENT
    PACKETS_AUTH
    MESSAGES_RECEIVED
    MESSAGES_SENT
    QOS0_RECEIVED
    QOS0_SENT
    QOS1_RECEIVED
    QOS1_SENT
    QOS2_RECEIVED
    QOS2_SENT
    QOS2_DROPPED
    QOS2_EXPIRED
    MESSAGES_RETAINED
    MESSAGES_DROPPED
    MESSAGES_EXPIRED
    MESSAGES_FORWARD
    DOCUMENTED             # how many of them the v3 metrics endpoint lists; the rest are this broker's own
    DROPPED_QUEUE_FULL = DOCUMENTED
    DROPPED_SLOW
    DROPPED_TOO_LARGE
    DROPPED_QOS0_OFFLINE
    DROPPED_EXPIRED
    DROPPED_ACL
    DROPPED_SESSION_ENDED
    ACL_UNAVAILABLE
    PUBLISHERS_PAUSED
    AWAITING_REL_EXCEEDED
    RETAINED_REFUSED
    SLOW_STALLED
    SLOW_OUTBOX_FULL
    SLOW_OUTBOXES_FULL
    CONNACK_ERROR          # from here on, those that v3.2 added
    CONNACK_AUTH_ERROR
    PUBLISH_ERROR
    SUBSCRIBE_ERROR
    SUBSCRIBE_AUTH_ERROR
    UNSUBSCRIBE_ERROR
    AUTH_SENT
    AUTH_ANONYMOUS
    METRICS

cdef class Metrics:
    cdef uint64_t v[METRICS]
