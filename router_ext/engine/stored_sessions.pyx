"""What the engine has in the message store, and what the store says to it. See journal.pxd for the store's other end."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from router_ext.engine.session_end cimport redispatch_shared
from router_ext.durable.journal cimport (
    FACT_SUBSCRIPTION, FRAME_COMMITTED, FRAME_FULL, FRAME_PAGE, FRAME_ROOM, FRAME_SETTLED, FRAME_SHORT, Journal,
    Reply, get_body,
)
from router_ext.message.message cimport Message, Msg, msg_unref, wrap
from router_ext.routing.router cimport OPT_QOS, Match
from router_ext.session.session cimport WAIT_PUBCOMP, Slot
from router_ext.protocol.wire cimport put_u32

cdef enum:
    PAGE = 256              # messages read from the store at a time


def begin_storing(Engine e, Session s not None):
    """A new session survives restarts from now on."""
    s.store_as(e.journal.new_sid(), 0, 0)


def restore_session(Engine e, Session s not None, uint64_t sid, uint32_t messages, uint32_t in_flight, list awaiting):
    """A session as the store has it: its messages stay there until its client comes back, but for priorities, which
    the store does not know."""
    s.store_as(sid, messages, in_flight)
    for pid in awaiting:
        s.await_release(pid, <uint32_t>(e.now // 1000))
    e.sessions[s.client_id] = s
    if messages and s.zone.mqueue_priorities is not None:
        next_page(e, s)


def restore_message(Engine e, bytes body not None):
    """A message as an earlier process stored it; ValueError when it is damaged."""
    cdef Msg* msg = get_body(body, len(body), e.journal.offset_of(0))
    cdef Message view
    if msg == NULL:
        raise ValueError("a stored message does not have the length it says")
    not_from_the_future(e, msg)
    view = wrap(msg)
    msg_unref(msg)
    return view


cdef int not_from_the_future(Engine e, Msg* msg) except -1:
    """A clock that was set back while the broker was down gives no message more than its interval [MQTT-3.3.2-6]."""
    if msg != NULL and msg.arrived > e.now:
        msg.arrived = e.now
    return 0


def stored_at(bytes body not None):
    """The wall time, in ms, that a message is stored with."""
    cdef int64_t wall = 0
    if len(body) >= 8:
        memcpy(&wall, <const uint8_t*>body, 8)
    return wall


def store_message(Engine e, int table, bytes key not None, Message message not None):
    """A message as a row of a small table (FACT_DELAYED)."""
    if e.journal is not None:
        e.journal.put_message(<uint8_t>table, key, <uint32_t>len(key), message.msg)


cdef int put_subscription(Engine e, Session s, const uint8_t* topic, size_t n, uint8_t options, uint32_t subid,
                          bint owed) except -1:
    """A row of a session's subscriptions, in MessagePack: [options, identifier], and True behind them when retained
    messages are still on their way: a restart begins with them again. `topic` with its shared group, if any."""
    cdef uint8_t row[8]
    if e.journal is None or s.sid == 0:
        return 0
    row[0] = 0x93 if owed else 0x92
    row[1] = options
    row[2] = 0xCE
    put_u32(row + 3, subid)
    row[7] = 0xC3
    e.journal.awaited += 1
    return e.journal.put_fact(FACT_SUBSCRIPTION, s.sid, topic, <uint32_t>n, row, 8 if owed else 7)


cdef int delete_subscription(Engine e, Session s, const uint8_t* topic, size_t n) except -1:
    if e.journal is None or s.sid == 0:
        return 0
    return e.journal.delete_fact(FACT_SUBSCRIPTION, s.sid, topic, <uint32_t>n)


def store_subscription(Engine e, Session s not None, bytes topic not None, uint8_t options, uint32_t subid, bint owed):
    put_subscription(e, s, topic, len(topic), options, subid, owed)


cdef int page_in(Engine e, Session s) except -1:
    """Few messages of a connected session are left here: the next ones that the store has come meanwhile."""
    if not s.paging and s.queued < PAGE // 2:
        next_page(e, s)
    return 0


cdef int next_page(Engine e, Session s) except -1:
    """Asks the store for more of the session's messages."""
    cdef uint32_t most = PAGE if s.zone.mqueue_priorities is None else 0xFFFFFFFF
    s.begin_page()
    e.journal.loading[s.sid] = s
    return e.journal.load(s.sid, s.loaded, most, s.stored_in_flight != 0)


cdef int read_store_replies(Engine e) except -1:
    """What the store has to say: commits, pages, and whether its disk takes anything."""
    cdef Journal journal = e.journal
    cdef Reply reply
    cdef bint release = False
    while journal.next_reply(&reply):
        if reply.kind == FRAME_COMMITTED:
            journal.committed = reply.number
            release = True
        elif reply.kind == FRAME_PAGE:
            take_page(e, &reply)
        elif reply.kind == FRAME_SETTLED:
            journal.settling.pop(0)()
        elif reply.kind == FRAME_FULL or reply.kind == FRAME_SHORT:
            journal.full = reply.kind == FRAME_FULL
            journal.short = release = True
            journal.policy.store_full(reply.data[:reply.n].decode())
        elif reply.kind == FRAME_ROOM:
            journal.full = journal.short = False
            release = True
            journal.policy.store_has_room()
    if release:
        journal.release()
    return 0


cdef int take_page(Engine e, Reply* reply) except -1:
    """Messages of a session: u8 whether these are all, then for each u64 entry, u64 number, u32 subid, u16 packet
    id, u8 QoS, u8 RETAIN, u8 state, u32 length of the body, and that."""
    cdef Session s = e.journal.loading.pop(reply.number, None)
    cdef size_t at = 1
    cdef uint32_t n = 0, rows = 0
    if s is None:
        return 0
    while at < reply.n:
        memcpy(&n, reply.data + at + 25, 4)
        take_row(e, s, reply.data + at, reply.data + at + 29, n)
        at += 29 + n
        rows += 1
    s.end_page(rows, reply.data[0] != 0)
    if s.shared_subscriptions is not None:
        redispatch_shared(e, s)
        if s.stored:
            next_page(e, s)
        else:
            end_in_store(e, s)
    elif s.conn is not None:
        e.drain(s)
    elif s.stored and s.zone.mqueue_priorities is not None:
        next_page(e, s)
    return 0


cdef int take_row(Engine e, Session s, const uint8_t* p, const uint8_t* body, uint32_t n) except -1:
    cdef Slot slot
    cdef uint64_t number
    cdef Msg* msg = NULL
    memset(&slot, 0, sizeof(slot))
    memcpy(&slot.entry, p, 8)
    memcpy(&number, p + 8, 8)
    if n:
        msg = get_body(body, n, e.journal.offset_of(number))
        not_from_the_future(e, msg)
    memcpy(&slot.subid, p + 16, 4)
    memcpy(&slot.pid, p + 20, 2)
    slot.qos = p[22]
    slot.retain = p[23] & 1
    slot.shared = p[23] >> 1
    slot.state = p[24]
    slot.msg = msg
    slot.sent = -1
    if msg != NULL:
        msg.number = number
        msg.holders = 1
    if slot.pid:
        if msg == NULL and slot.state != WAIT_PUBCOMP:
            return 0
        return s.window_restore(slot)
    s.loaded_up_to(slot.entry)
    if msg != NULL:
        s.enqueue(msg, slot.qos, slot.retain, slot.subid, slot.shared, slot.entry)
        msg_unref(msg)
    return 0


cdef int end_in_store(Engine e, Session s) except -1:
    cdef uint64_t sid = s.leave_store()
    if sid and e.journal is not None:
        e.journal.loading.pop(sid, None)
        e.journal.end_session(sid)
    return 0


cdef bint must_store(Engine e, const uint8_t* topic, size_t n, bint retain) except? True:
    """Whether a message of that topic would be stored: it is retained, or some subscriber's session is."""
    cdef Match* m = e.router.match(topic, n)
    cdef uint32_t i
    if m.n_groups or (retain and e.retained is not None):
        return True
    for i in range(m.n_plain):
        if (<Session>m.plain[i].subscriber).sid and m.plain[i].opts & OPT_QOS:
            return True
    return False
