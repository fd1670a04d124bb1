"""Acknowledgements, both ways: what the client is told of its messages, and what it tells of ours."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.engine.channel cimport Channel
from router_ext.protocol.codec cimport ack_reason_valid, encode, parse_ack
from router_ext.net.metrics cimport PUBACK_MISSED, PUBCOMP_MISSED, PUBREC_MISSED, PUBREL_MISSED
from router_ext.protocol.packets cimport Ack
from router_ext.protocol.reasons cimport (
    RC_PACKET_ID_IN_USE, RC_PACKET_ID_NOT_FOUND, RC_PROTOCOL_ERROR, RC_QUOTA_EXCEEDED, RC_RECEIVE_MAXIMUM_EXCEEDED,
    RC_SUCCESS,
)
from router_ext.session.session cimport WAIT_PUBACK, WAIT_PUBCOMP, WAIT_PUBREC, WAIT_STORE, Session, Slot
from router_ext.session.deferred cimport Deferred, DeferredPacket, ring_at, ring_drop, ring_put

cdef enum:
    MOST_DEFERRED = 65535   # no client has more packet identifiers than that


# -- to the client ------------------------------------------------------------------------------------------------------

cdef Deferred deferred_of(Channel c):
    if c.deferred is None:
        c.deferred = Deferred()
    return c.deferred


cdef int acknowledge(Channel c, uint8_t first_byte, uint16_t pid, uint8_t code, uint64_t batch) except -1:
    """PUBACK, PUBREC or PUBCOMP, in arrival order [MQTT-4.6.0-2] [MQTT-4.6.0-3]; after what `defer_acks` holds back, and
    after `batch` is on disk."""
    cdef Deferred w = c.deferred
    if batch and c.engine.journal.is_committed(batch):
        batch = 0
    if batch:
        w = deferred_of(c)
        c.engine.journal.wait(c)
    if batch or (w is not None and (w.acks.count or w.full_sessions)):
        if w.acks.count == MOST_DEFERRED:
            return c.violation(RC_RECEIVE_MAXIMUM_EXCEEDED)
        return ring_put(&w.acks, DeferredPacket(batch, pid, first_byte, code))
    return put_ack(c, first_byte, pid, code)


cdef int defer_acks(Channel c, Session full_session) except -1:
    """What is acknowledged from now on waits until the full queue of `full_session` has room; nobody waits for himself."""
    cdef Deferred w
    if full_session is c.session:
        return 0
    w = deferred_of(c)
    if w.full_sessions is None:
        w.full_sessions = []
    if full_session not in w.full_sessions:
        w.full_sessions.append(full_session)
        wait_for(c, full_session)
    return 0


cdef int wait_for(Channel c, Session full_session) except -1:
    return full_session.block_publisher(c, c.engine.now)


cdef int release_acks(Channel c) except -1:
    """Sends what was withheld once every queue it waits for has room, up to the first that is not on disk."""
    cdef Deferred w = c.deferred
    cdef Session full_session
    cdef DeferredPacket ack
    if w.acks.count == 0:
        return 0
    for full_session in w.full_sessions or ():
        if c.engine.defers_publishers(full_session):
            return wait_for(c, full_session)
    w.full_sessions = None
    while w.acks.count:
        ack = ring_at(&w.acks, 0)[0]
        if ack.batch and not c.engine.journal.is_committed(ack.batch):
            return c.engine.journal.wait(c)
        ring_drop(&w.acks)
        put_ack(c, ack.first_byte, ack.pid, ack.reason)
    return 0


cdef int put_after_commit(Channel c, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1:
    """A PUBLISH (its window has it), a PUBREL, or (0) the next of `packets`, once `batch` is on disk."""
    cdef Deferred w = deferred_of(c)
    ring_put(&w.uncommitted, DeferredPacket(batch, pid, first_byte, 0))
    return release_uncommitted(c)


cdef int release_committed(Channel c) except -1:
    """The store has news: what is on disk now goes out, and what will never be is refused."""
    if c.engine.journal.full:
        refuse_uncommitted(c)
    release_uncommitted(c)
    return release_acks(c)


cdef int release_uncommitted(Channel c) except -1:
    cdef Deferred w = c.deferred
    cdef Session s = c.session
    cdef DeferredPacket item
    cdef Slot* slot
    while w.uncommitted.count:
        item = ring_at(&w.uncommitted, 0)[0]
        if not c.engine.journal.is_committed(item.batch):
            return c.engine.journal.wait(c)
        ring_drop(&w.uncommitted)
        if item.first_byte == 0:
            c.put_packet(w.packets.pop(0))
        elif item.first_byte == 0x62:
            put_ack(c, 0x62, item.pid, RC_SUCCESS)
        elif s.conn is c:
            slot = s.window_find(item.pid)
            if slot != NULL and slot.state == WAIT_STORE:
                s.window_committed(slot, c.engine.now)
                c.engine.send_msg(c.engine.observing, s, slot.msg, slot.qos, slot.retain, 0, slot.subid, item.pid)
    return 0


cdef int refuse_uncommitted(Channel c) except -1:
    """The disk is full. MQTT 5 publishers need not wait until it has room: they are told."""
    cdef Deferred w = c.deferred
    cdef uint32_t i
    cdef DeferredPacket* ack
    if c.version != 5:
        return 0
    for i in range(w.acks.count):
        ack = ring_at(&w.acks, i)
        if ack.batch and ack.first_byte != 0x70 and not c.engine.journal.is_committed(ack.batch):
            ack.batch = 0
            ack.reason = RC_QUOTA_EXCEEDED
            if ack.first_byte == 0x50:
                release_id(c, ack.pid)
    return 0


cdef int put_ack(Channel c, uint8_t first_byte, uint16_t pid, uint8_t code) except -1:
    cdef uint8_t packet[5]
    cdef size_t n = 4
    if c.unacked and ends_exchange(first_byte, code):
        c.unacked -= 1
    if code >= 0x80 and c.explain:
        return c.put_packet(encode(Ack(first_byte >> 4, pid, code, c.explanation(code, 6)), c.version))
    packet[0] = first_byte
    packet[1] = 2
    packet[2] = <uint8_t>(pid >> 8)
    packet[3] = <uint8_t>(pid & 0xFF)
    if code and c.version == 5:
        packet[1] = 3
        packet[4] = code
        n = 5
    if c.max_packet and n > c.max_packet:
        return 0  # [MQTT-3.1.2-24]
    c.count_sent(first_byte)
    return c.put(packet, n)


cdef inline bint ends_exchange(uint8_t first_byte, uint8_t code) noexcept:
    """What gives the client's quota one message back (section 4.9): not the repeat of an open exchange, nor of none."""
    return first_byte == 0x40 or (first_byte == 0x50 and code >= 0x80 and code != RC_PACKET_ID_IN_USE) or (
        first_byte == 0x70 and code != RC_PACKET_ID_NOT_FOUND)


# -- from the client ----------------------------------------------------------------------------------------------------

cdef int acknowledgement(Channel c, uint8_t kind, const uint8_t* body, size_t n) except -1:
    """PUBACK, PUBREC, PUBREL, PUBCOMP."""
    cdef uint16_t pid = 0
    cdef uint8_t reason = 0
    cdef int code = parse_ack(body, n, c.version, &pid, &reason)
    if code == 0 and reason and not ack_reason_valid(kind, reason):
        code = RC_PROTOCOL_ERROR  # [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
    if code:
        return c.violation(<uint8_t>code)
    if kind == 4:
        return on_puback(c, pid)
    if kind == 5:
        return on_pubrec(c, pid, reason)
    if kind == 6:
        return on_pubrel(c, pid)
    return on_pubcomp(c, pid)


cdef int on_puback(Channel c, uint16_t pid) except -1:
    cdef Slot* slot = c.session.window_find(pid)
    if slot == NULL or slot.state != WAIT_PUBACK:
        c.engine.metrics.v[<int>PUBACK_MISSED] += 1
        return 0
    acked(c, slot)
    return done(c, slot)


cdef int on_pubrec(Channel c, uint16_t pid, uint8_t reason) except -1:
    cdef Slot* slot = c.session.window_find(pid)
    if slot == NULL or slot.state == WAIT_PUBACK or slot.state == WAIT_STORE:
        c.engine.metrics.v[<int>PUBREC_MISSED] += 1
        if c.session.stored_in_flight:
            return 0  # it may be among those that are still read from the store, and sent again then
        return put_ack(c, 0x62, pid, RC_PACKET_ID_NOT_FOUND)
    if reason >= 0x80:
        return done(c, slot)  # [MQTT-4.3.3-4] the message was refused: no PUBREL
    if slot.state == WAIT_PUBREC:
        acked(c, slot)
        if slot.entry and c.session.sid and c.engine.journal is not None:
            c.engine.journal.received(c.session.sid, slot.entry, slot.msg)
    c.session.window_received(slot, c.engine.now)
    if slot.entry and c.session.sid and c.engine.journal is not None:
        return put_after_commit(c, 0x62, pid, c.engine.journal.mark())
    return put_ack(c, 0x62, pid, RC_SUCCESS)


cdef int on_pubrel(Channel c, uint16_t pid) except -1:
    cdef uint8_t reason = RC_SUCCESS
    if not release_id(c, pid):
        c.engine.metrics.v[<int>PUBREL_MISSED] += 1
        reason = RC_PACKET_ID_NOT_FOUND
    if c.session.sid and c.engine.journal is not None:  # also a repeat waits: its id may not be released on disk yet
        return acknowledge(c, 0x70, pid, reason, c.engine.journal.mark())
    return put_ack(c, 0x70, pid, reason)


cdef int on_pubcomp(Channel c, uint16_t pid) except -1:
    cdef Slot* slot = c.session.window_find(pid)
    if slot == NULL or slot.state != WAIT_PUBCOMP:
        c.engine.metrics.v[<int>PUBCOMP_MISSED] += 1
        return 0
    return done(c, slot)


cdef int acked(Channel c, Slot* slot) except -1:
    return c.engine.observe_acked(c.session, slot.msg, slot.qos) if c.engine.observing else 0


cdef int done(Channel c, Slot* slot) except -1:
    cdef Session s = c.session
    if slot.entry:
        c.engine.forget_place(s, slot.entry, slot.msg)
    s.window_done(slot)
    s.note_progress(c.engine.now)
    if (s.queued or s.stored or s.window.unsent or s.blocked_publishers is not None
            or s.backlog is not None):
        c.engine.drain(s)
    return 0


cdef bint release_id(Channel c, uint16_t pid) except? True:
    """False when no QoS 2 message waits under it."""
    if not c.session.release(pid):
        return False
    if c.session.sid and c.engine.journal is not None:
        c.engine.journal.released(c.session.sid, pid)
    return True
