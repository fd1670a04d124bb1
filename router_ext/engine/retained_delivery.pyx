"""Retained messages as they are published, and on their way to new subscriptions (MQTT 5.0, section 3.3.1.3)."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from router_ext.routing.chores cimport Chore
from router_ext.engine.engine cimport begin
from router_ext.message.publish_frames cimport delivery_msg
from router_ext.durable.journal cimport FACT_RETAINED
from router_ext.message.message cimport MSG_HAS_EXPIRY, MSG_SYS, Msg, checked, msg_expired, msg_unref, msg_unstored
from router_ext.net.metrics cimport MESSAGES_RETAINED, RETAINED_REFUSED
from router_ext.message.retained_store cimport RetainedCursor
from router_ext.routing.router cimport OPT_QOS

cdef enum:
    LOOK_UP = 4096              # looks for a subscription's list of them at once
    A_MESSAGE = 8               # looks that take as long as sending one


cdef int store_retained(Engine e, Delivery* d) except -1:
    """Stores or, with an empty payload, removes the topic's retained message [MQTT-3.3.1-5] [MQTT-3.3.1-6]."""
    cdef Msg* msg
    cdef bint removed
    if e.retained is None:
        return 0
    if d.payload_len == 0:
        removed = e.retained.delete(d.topic[:d.topic_len])
        if removed and e.journal is not None and not d.sys:
            e.journal.delete_fact(FACT_RETAINED, 0, d.topic, d.topic_len)
        elif e.journal is not None:
            e.journal.awaited += 1  # it may have been removed a moment ago, and be on disk still
        e.metrics.v[<int>MESSAGES_RETAINED] = len(e.retained)
        return 0
    if (e.max_retained_payload and d.payload_len > e.max_retained_payload) or (
            e.max_retained and len(e.retained) >= e.max_retained
            and e.retained.find(d.topic, d.topic_len) == NULL):
        e.metrics.v[<int>RETAINED_REFUSED] += 1
        return 0
    msg = checked(delivery_msg(d))
    e.retained.put(msg)
    if e.journal is not None and not d.sys:
        e.journal.put_message(FACT_RETAINED, d.topic, d.topic_len, msg)
    e.metrics.v[<int>MESSAGES_RETAINED] = len(e.retained)
    return 0


def delete_retained(Engine e, bytes topic not None) -> bool:
    """Removes a topic's retained message, from the store on disk too; True when it had one."""
    if e.retained is None or not e.retained.delete(topic):
        return False
    e.metrics.v[<int>MESSAGES_RETAINED] = len(e.retained)
    if e.journal is not None and not topic.startswith(b"$SYS/"):
        e.journal.delete_fact(FACT_RETAINED, 0, topic, <uint32_t>len(topic))
        if not e.in_turn and e.wake:
            e.wake()
    return True


def sweep_retained(Engine e, uint32_t budget):
    """Removes expired retained messages, from the store on disk too, looking at no more than `budget` of them."""
    cdef bytes topic
    if e.retained is None:
        return
    for topic in e.retained.sweep(e.now, budget, <int64_t>e.retained_expiry * 1000):
        if e.journal is not None:
            e.journal.delete_fact(FACT_RETAINED, 0, topic, <uint32_t>len(topic))
    e.metrics.v[<int>MESSAGES_RETAINED] = len(e.retained)


cdef RetainedCursor cursor_of(Engine e, const uint8_t* topic_filter, size_t n, int64_t* looked):
    """A cursor over what a valid filter matches now, None where that is nothing; `looked`: what that took. Where it takes
    more than the turn allows, the cursor goes through all messages, piece by piece."""
    cdef RetainedCursor cursor = None
    cdef int64_t most = e.most_looks(LOOK_UP)
    cdef bint found = False
    looked[0] = e.retained.seek(topic_filter, n, most, &found)
    if found:
        cursor = RetainedCursor(e.retained, topic_filter[:n], most)
        looked[0] += cursor.looked
    e.charge(looked[0])
    return cursor


cpdef queue_retained(Session session, RetainedCursor cursor, int opts, uint32_t subid):
    """Retained messages are to be sent for a subscription just made, RETAIN set (3.1.1: [MQTT-3.3.1-8])."""
    if not cursor.done:
        forget_pending_retained(session, cursor.topic_filter)
        session.add_backlog(cursor.topic_filter, (cursor, opts, subid))


def send_pending_retained(Engine e, Session session not None):
    """As many of them as the client's window and socket take are sent at once, the others as they take more; a
    session without a connection gets them when it has one."""
    if session.conn is not None:
        e.drain(session)
        e.egress.flush_all()


cpdef bint has_pending_retained(Session session, bytes topic_filter=None) except? True:
    """Whether some are still to be sent, for that subscription or for any."""
    return session.backlog is not None and (topic_filter is None or topic_filter in session.backlog)


cdef int forget_pending_retained(Session session, bytes topic_filter) except -1:
    """What still waits of a subscription's retained messages is not sent: the subscription ends, or is replaced by
    one that gets them anew."""
    session.remove_backlog(topic_filter)
    return 0


cdef int send_backlog(Engine e, Session s) except -1:
    """Goes on with retained messages as far as the turn's looks allow; the rest is a chore."""
    cdef int64_t most = e.most_looks(LOOK_UP), left = most
    if s.sending:
        return 0
    s.note_sending(send_some(e, s, &left))
    e.charge(most - left)
    if s.sending:
        e.chores.add(Sending(e, s))
    return 0


cdef class Sending(Chore):
    """Of one session's retained messages."""
    cdef Engine engine
    cdef Session session

    def __init__(self, Engine engine not None, Session session not None):
        self.engine = engine
        self.session = session

    cdef bint go_on(self, int64_t* looks) except? True:
        self.session.note_sending(self.session.backlog is not None and send_some(self.engine, self.session, looks))
        return self.session.sending

    cdef int give_up(self, error) except -1:
        self.session.note_sending(False)
        raise error


cdef bint send_some(Engine e, Session s, int64_t* looks) except? True:
    """What the client's window and socket take; True when there would be more, had the looks not been used up. One that
    was replaced or removed meanwhile is left out: the subscription has got what came in its place."""
    cdef RetainedCursor cursor
    cdef Routing call
    cdef Msg* msg
    begin(e, &call, None)
    while s.backlog and e.retained is not None:
        cursor, opts, subid = next(iter(s.backlog.values()))
        while not cursor.done:
            if (s.conn is None or s.conn.outbox.pending > e.egress.high_water or s.queued or s.stored
                    or not s.window_open()):
                return False
            if looks[0] <= 0:
                return True
            msg = cursor.next(looks)
            if msg != NULL:
                looks[0] -= A_MESSAGE
                send_one(e, &call, s, msg, opts, subid)
        s.remove_backlog(cursor.topic_filter)
        if s.sid:
            e.policy.on_retained_sent(s, cursor.topic_filter)
    s.end_backlog()
    return False


cdef int send_one(Engine e, Routing* call, Session s, Msg* msg, uint8_t opts, uint32_t subid) except -1:
    cdef uint8_t granted = opts & OPT_QOS
    cdef uint8_t qos = max(msg.qos, granted) if s.zone.upgrade_qos else min(msg.qos, granted)
    cdef Msg* own
    if is_over(e, msg):
        return 0
    if s.sid == 0:
        return e.send_or_queue(call, s, msg, qos, 1, subid)
    own = checked(msg_unstored(msg))
    try:
        return e.send_or_queue(call, s, own, qos, 1, subid)
    finally:
        msg_unref(own)


cdef int send_retained_first(Engine e, Routing* call, Delivery* d, Session s) except -1:
    """[MQTT-4.6.0-5] A retained message that still waits goes before what is published to its topic now."""
    cdef RetainedCursor cursor
    cdef Msg* msg
    for cursor, opts, subid in list(s.backlog.values()):
        msg = cursor.fetch(d.topic, d.topic_len)
        if msg != NULL:
            send_one(e, call, s, msg, opts, subid)
    return 0


cdef bint is_over(Engine e, Msg* msg) noexcept:
    """A retained message whose time is over: its own interval, or the retainer's [MQTT-3.3.2-5]."""
    if msg.flags & (MSG_HAS_EXPIRY | MSG_SYS):
        return msg_expired(msg, e.now)
    return e.retained_expiry != 0 and e.now - msg.arrived >= <int64_t>e.retained_expiry * 1000
