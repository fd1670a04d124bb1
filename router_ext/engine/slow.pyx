"""How long messages wait for connected clients: looked at from time to time, so that delivering one pays nothing."""

from libc.stdint cimport int64_t, uint32_t

from router_ext.engine.channel cimport Channel
from router_ext.message.message cimport Msg, msg_topic
from router_ext.session.session cimport Session, Slot


def waiting_longer(list channels not None, int64_t now, double clock, int64_t threshold):
    """Of these channels, those whose client has made a message wait for `threshold` ms or longer.

    `now` in monotonic ms, `clock` in unix seconds. Returns rows (client id, user name, ms that the oldest message has
    waited, its topic or None, messages in flight, messages queued, bytes that wait in queue and socket)."""
    cdef Channel c
    cdef Session s
    cdef Msg* oldest
    cdef int64_t waited
    cdef list found = []
    for c in channels:
        s = c.session
        if s is None or s.conn is not c or not (s.window.busy or s.queued or c.blocked):
            continue
        oldest = oldest_of(s)
        waited = now - c.stalled_since if c.blocked else 0
        if oldest != NULL:  # what came while the client was away waits since it is back
            waited = max(waited, min(now - oldest.arrived, <int64_t>((clock - c.connected_at) * 1000)))
        if waited >= threshold:
            found.append((s.client_id, s.username, waited, topic_of(s, oldest), s.window.busy, s.queued + s.stored,
                          s.queued_bytes + c.outbox.pending))
    return found


cdef Msg* oldest_of(Session s) noexcept:
    """The message that has been here longest of those in the window, where the first is the oldest, and in the queues;
    or NULL."""
    cdef Msg* oldest = NULL
    cdef Msg* one
    cdef Slot* slot = s.oldest()
    cdef uint32_t i
    while slot != NULL and slot.msg == NULL:
        slot = s.following(slot)
    if slot != NULL:
        oldest = slot.msg
    for i in range(s.n_queues):
        if s.queues[i].count:
            one = s.queues[i].items[s.queues[i].head].msg
            if oldest == NULL or one.arrived < oldest.arrived:
                oldest = one
    return oldest


cdef str topic_of(Session s, Msg* msg):
    """As its client knows it."""
    cdef uint32_t hidden
    if msg == NULL:
        return None
    hidden = s.hidden(msg)
    return msg_topic(msg)[hidden:msg.topic_len].decode()
