"""What the management API's list of connections shows of each, read without a Python call an attribute."""

from libc.stdint cimport uint32_t, uint64_t

from router_ext.engine.channel cimport Channel
from router_ext.message.message cimport wrap
from router_ext.session.session cimport Queue, Queued, Session

from router_ext.engine.channel import peer_of

cdef str UNDEFINED = "undefined"
cdef frozenset TLS = frozenset(("mqtt:ssl", "mqtt:wss"))


def connected(list sessions not None):
    """Those whose clients are connected, in their order."""
    cdef Session session
    return [session for session in sessions if session.conn is not None]


def queued(Session session not None, uint64_t first, uint64_t limit):
    """[(message, QoS, RETAIN)] of at most `limit` messages that wait in memory, behind the first ones, in the order in
    which they go out."""
    cdef list found = []
    cdef Queue* queue
    cdef Queued* one
    cdef uint32_t q, i
    for q in range(session.n_queues):
        queue = session.queues + q
        for i in range(<uint32_t>min(first, <uint64_t>queue.count), queue.count):
            if <uint64_t>len(found) == limit:
                return found
            one = &queue.items[(queue.head + i) & (queue.cap - 1)]
            found.append((wrap(one.msg), one.qos, bool(one.retain)))
        first -= min(first, <uint64_t>queue.count)
    return found


def connection_members(Session session not None, str node not None, date_text not None):
    """The members of the session's connection in the order of the v3 API's row, or None when there is none.

    `date_text`: from unix seconds."""
    cdef Channel channel
    if session.conn is None:
        return None
    channel = <Channel?>session.conn
    address, port = peer_of(channel.address)
    peercert = channel.peercert
    if not peercert:
        peercert = UNDEFINED if channel.listener.protocol in TLS else "nossl"
    return (
        channel.clean_start,
        session.client_id,
        date_text(channel.connected_at),
        address,
        channel.is_bridge,
        channel.is_super,
        channel.keepalive,
        UNDEFINED if channel.mount is None else channel.mount.decode(),
        node,
        peercert,
        port,
        "MQIsdp" if channel.version == 3 else "MQTT",
        channel.version,
        UNDEFINED if session.username is None else session.username,
        UNDEFINED if channel.will_topic is None else channel.will_topic,
        channel.zone.name,
    )
