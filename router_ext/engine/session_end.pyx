"""The end of a session or of its queue, and what a session leaves to others."""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from router_ext.message.publish_frames cimport Delivery, delivery_of
from router_ext.engine.engine cimport Routing, begin
from router_ext.message.message cimport Message, Msg, checked, msg_expired, msg_unref, msg_unstored, wrap
from router_ext.net.metrics cimport MESSAGES_DROPPED
from router_ext.routing.router cimport Group
from router_ext.session.session cimport WAIT_PUBACK, WAIT_STORE, Queue, Queued, Slot
from router_ext.engine.stored_sessions cimport end_in_store, next_page

from router_ext.protocol.topic import topic_matches


def end_session(Engine e, Session s not None):
    """The session ends: its subscriptions, queue and window are gone, and it is no longer listed. What it leaves
    of shared subscriptions goes to other members."""
    s.end(e.router.shared(s) if e.router.shared_count else [])
    if s.subscription_count:
        e.router.leave(s)
    if e.router.leaving and e.wake is not None and not e.in_turn:
        e.wake()
    if e.sessions.get(s.client_id) is s:
        del e.sessions[s.client_id]
    redispatch_shared(e, s)
    if not (s.sid and e.journal is not None and s.shared_subscriptions and s.stored):
        end_in_store(e, s)
    elif not s.paging:
        next_page(e, s)   # what only the store has is given away as it comes: see `take_page`
    e.drain(s)


def empty_queue(Engine e, Session s not None) -> int:
    """Forgets the messages that wait for a client that is not connected, on disk too; what was sent and not acknowledged
    stays. Gives how many there were; -1 while some are on their way from the store."""
    cdef uint32_t waiting = s.waiting()
    cdef Queued item
    if s.paging:
        return -1
    while s.dequeue(&item):
        e.forget_place(s, item.entry, item.msg)
        msg_unref(item.msg)
    if s.stored > s.stored_in_flight:
        e.journal.drop_oldest(s.sid, s.stored - s.stored_in_flight)
        s.count_stored(<int32_t>s.stored_in_flight - <int32_t>s.stored)
    if waiting and not e.in_turn and e.wake:
        e.wake()
    return waiting


cdef int redispatch_shared(Engine e, Session s) except -1:
    """What the session has here leaves it, and goes to other members of its shared subscriptions if it came through
    one and is not QoS 0: QoS 1 without its PUBACK, and what was not sent. A QoS 2 message that was sent ends here
    [MQTT-4.8.2-5]."""
    cdef list left = []
    cdef dict seen = {}
    cdef Slot* slot = s.oldest()
    cdef Queue* q
    cdef Queued* item
    cdef uint32_t i, k
    while slot != NULL:
        e.forget_place(s, slot.entry, slot.msg)
        if (slot.state == WAIT_PUBACK or slot.state == WAIT_STORE) and slot.shared and s.shared_subscriptions:
            left.append(owner_of(wrap(slot.msg), s.shared_subscriptions, seen))
        slot = s.following(slot)
    for i in range(s.n_queues):
        q = s.queues + i
        for k in range(q.count):
            item = q.items + ((q.head + k) & (q.cap - 1))
            e.forget_place(s, item.entry, item.msg)
            if item.qos and item.shared and s.shared_subscriptions and not msg_expired(item.msg, e.now):
                left.append(owner_of(wrap(item.msg), s.shared_subscriptions, seen))
    if s.window.cap:
        s.drop_window()
    s.free_queues()
    for found in left:
        if found is not None:
            redispatch(e, found[0], found[1], found[2])
    return 0


cdef int redispatch(Engine e, Message message, bytes topic_filter, bytes group) except -1:
    """A message that a member of a shared group left behind, to another member."""
    cdef Group* members = e.router.group(topic_filter, len(topic_filter), group, len(group))
    cdef Msg* msg
    cdef Delivery d
    cdef Routing call
    if members == NULL:
        return e.dropped(None, message.msg, MESSAGES_DROPPED)
    msg = checked(msg_unstored(message.msg))
    delivery_of(&d, msg, e.now)
    d.retain = False
    begin(e, &call, None)
    try:
        return e.deliver_member(&call, &d, members, <uint64_t>hash(message.client_id))
    finally:
        msg_unref(msg)


cdef tuple owner_of(Message message, list groups, dict seen):
    """`(message, filter, group)`: the group a member got a message through. One that came through several groups is
    there as many times, and each time counts for the next of them."""
    cdef list through = [(name, group) for name, group in groups if topic_matches(name, message.topic)]
    cdef object key = <size_t>message.msg
    if not through:
        return None
    seen[key] = seen.get(key, -1) + 1
    name, group = through[seen[key] % len(through)]
    return message, name, group
