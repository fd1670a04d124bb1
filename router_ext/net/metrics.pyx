"""Counters since node start, never reset (EMQ X 3.0 "Statistics of packet sent and received")."""

NAMES = (
    "bytes/received", "bytes/sent", "packets/received", "packets/sent", "packets/connect", "packets/connack",
    "packets/publish/received", "packets/publish/sent",
    "packets/puback/received", "packets/puback/sent", "packets/puback/missed",
    "packets/pubrec/received", "packets/pubrec/sent", "packets/pubrec/missed",
    "packets/pubrel/received", "packets/pubrel/sent", "packets/pubrel/missed",
    "packets/pubcomp/received", "packets/pubcomp/sent", "packets/pubcomp/missed",
    "packets/subscribe", "packets/suback", "packets/unsubscribe", "packets/unsuback",
    "packets/pingreq", "packets/pingresp", "packets/disconnect/received", "packets/disconnect/sent",
    "packets/auth", "messages/received", "messages/sent",
    "messages/qos0/received", "messages/qos0/sent", "messages/qos1/received", "messages/qos1/sent",
    "messages/qos2/received", "messages/qos2/sent", "messages/qos2/dropped", "messages/qos2/expired",
    "messages/retained", "messages/dropped", "messages/expired", "messages/forward",
)
"""The documented metrics, in the order of the enumeration."""

EXTENDED = (
    "dropped/queue_full", "dropped/slow_subscriber", "dropped/too_large", "dropped/qos0_offline",
    "dropped/expired", "dropped/acl_denied", "dropped/session_ended", "acl/unavailable", "publishers/paused",
    "awaiting_rel/exceeded", "retained/refused", "connections/slow/stalled", "connections/slow/outbox_full",
    "connections/slow/outboxes_full",
)
"""This broker's own: why messages were lost or not retained, messages and filters refused because no ACL decision could be
had, how often a publisher was paused, QoS 2 messages of MQTT 3 beyond `max_awaiting_rel`, and how often a connection became
slow for which reason."""

LATER = (
    "packets/connack/error", "packets/connack/auth_error", "packets/publish/error",
    "packets/subscribe/error", "packets/subscribe/auth_error", "packets/unsubscribe/error", "packets/auth/sent",
    "auth/mqtt/anonymous",
)
"""Those that v3.2 added. `error`: refused for whatever reason, `auth_error`: for want of rights."""

if len(NAMES) != DOCUMENTED or len(EXTENDED) != CONNACK_ERROR - DOCUMENTED or len(LATER) != METRICS - CONNACK_ERROR:
    raise ImportError("router_ext.net.metrics: names and enumeration differ")

cdef dict INDEX = {name: position for position, name in enumerate(NAMES + EXTENDED + LATER)}


cdef class Metrics:
    """The counters of one node."""

    def snapshot(self):
        """The documented metrics, {name: count}."""
        cdef int i
        return {NAMES[i]: self.v[i] for i in range(<int>DOCUMENTED)}

    def extended(self):
        """The counters beyond the documented ones, {name: count}."""
        cdef int i
        return {EXTENDED[i]: self.v[<int>DOCUMENTED + i] for i in range(len(EXTENDED))}

    def later(self):
        """The counters that v3.2 added, {name: count}."""
        cdef int i
        found = {LATER[i]: self.v[<int>CONNACK_ERROR + i] for i in range(len(LATER))}
        found["packets/publish/error"] += self.v[<int>DROPPED_ACL]
        found["packets/publish/auth_error"] = self.v[<int>DROPPED_ACL]
        return found

    def count(self, str name, uint64_t n=1):
        """So many more. For what is counted in Python, which is rare."""
        self.v[<int>INDEX[name]] += n

    def __getitem__(self, str name):
        return self.v[<int>INDEX[name]]

    def set(self, str name, uint64_t value):
        """For the one documented gauge among them, messages/retained."""
        self.v[<int>INDEX[name]] = value
