"""The way of a message: route → deliver → window, queue or outbox. See engine.pxd."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from router_ext.connection cimport Connection
from router_ext.delivery cimport (
    Delivery, delivery_msg, delivery_next, delivery_of, publish_bound, put_head, put_run, run_bound,
)
from router_ext.message cimport (
    MSG_HAS_EXPIRY, MSG_RETAIN, MSG_SYS, Message, msg_client, msg_expired, msg_new, msg_payload, msg_props,
    msg_remaining, msg_topic, msg_unref,
)
from router_ext.metrics cimport (
    DROPPED_EXPIRED, DROPPED_QOS0_OFFLINE, DROPPED_QUEUE_FULL, DROPPED_SLOW, DROPPED_TOO_LARGE, MESSAGES_DROPPED,
    MESSAGES_EXPIRED, MESSAGES_RETAINED, MESSAGES_SENT, PACKETS_SENT, PUBLISH_SENT, PUBREL_SENT, QOS0_SENT,
)
from router_ext.outbox cimport LARGE_PAYLOAD, outbox_commit, outbox_reserve, outbox_splice
from router_ext.router cimport (
    OPT_NO_LOCAL, OPT_QOS, OPT_RETAIN_AS_PUBLISHED, Group, Match,
)
from router_ext.session cimport SLOT_FREE, WAIT_PUBCOMP, Queued, Slot, Window
from router_ext.wire cimport put_varint, varint_size

cdef enum:
    INBUF = 262144
    PROP_SUBSCRIPTION_ID = 0x0B


cdef class Engine:

    def __cinit__(self):
        self.inbuf = <uint8_t*>malloc(INBUF)
        if self.inbuf == NULL:
            raise MemoryError

    def __init__(self, Router router not None, Metrics metrics not None, Egress egress not None):
        self.router = router
        self.metrics = metrics
        self.egress = egress
        self.sessions = {}
        self.channels = []
        self.ready = []
        self.drained = []
        self.graveyard = []
        self.hooked_prefixes = []

    def __dealloc__(self):
        free(self.inbuf)
        free(self.scratch)

    cdef uint8_t* scratch_of(self, size_t n) except NULL:
        """At least `n` bytes that live until the next call."""
        if n > self.scratch_cap:
            free(self.scratch)
            self.scratch_cap = 0
            self.scratch = <uint8_t*>malloc(n)
            if self.scratch == NULL:
                raise MemoryError
            self.scratch_cap = n
        return self.scratch

    # -- publishing from Python -----------------------------------------------------------------------------------

    def publish(self, Message message not None, Session publisher=None, bint retain=True):
        """Routes a message made in Python (REST, wills, $SYS) and stores it if it is retained and `retain`.

        Returns how many subscribers, shared groups counting as one, it went to."""
        cdef Delivery d
        cdef int reached
        if message.msg.arrived == 0:
            message.msg.arrived = self.now
        delivery_of(&d, message.msg, self.now)
        if d.retain and retain:
            self.retain(&d)
        reached = self.route(&d, publisher)
        self.egress.flush_all()
        return reached

    def send_retained(self, Session session not None, list messages not None, int opts, uint32_t subid=0):
        """Delivers retained messages for a subscription just made, RETAIN set [MQTT-3.3.1-8]; returns how many."""
        cdef Message message
        cdef uint8_t granted = opts & OPT_QOS, qos
        cdef int sent = 0
        for message in messages:
            if msg_expired(message.msg, self.now):
                continue
            qos = max(message.msg.qos, granted) if session.zone.upgrade_qos else min(message.msg.qos, granted)
            self.deliver_msg(session, message.msg, qos, 1, subid)
            sent += 1
        self.egress.flush_all()
        return sent

    # -- hooks ------------------------------------------------------------------------------------------------------

    def hook_publish(self, bint all, list prefixes not None):
        """Which messages the broker's `on_publish` is to see: all of them, or those whose topics begin with one of
        `prefixes` (bytes, not empty)."""
        cdef bytes prefix
        self.publish_hooked = all
        self.hooked_prefixes = prefixes
        memset(self.hooked_first, 0, sizeof(self.hooked_first))
        for prefix in prefixes:
            self.hooked_first[<uint8_t>prefix[0]] = 1

    cdef bint hooked(self, const uint8_t* topic, size_t n) noexcept:
        """The broker's `on_publish` is to see messages of this topic. Ordinary ones cost a look at their first byte."""
        cdef bytes prefix
        cdef size_t length
        if self.publish_hooked or n == 0 or not self.hooked_first[topic[0]]:
            return self.publish_hooked
        for prefix in self.hooked_prefixes:
            length = <size_t>len(prefix)
            if length <= n and memcmp(topic, <const uint8_t*>prefix, length) == 0:
                return True
        return False

    # -- routing ----------------------------------------------------------------------------------------------------

    cdef int route(self, Delivery* d, Session publisher) except -1:
        """Hands a delivery to everyone it is for; returns how many that are."""
        cdef Match* m = self.router.match(d.topic, d.topic_len)
        cdef uint32_t i
        self.pause_for = None
        self.gate = None
        self.flavour_of = NULL
        if m.n_plain + m.n_groups == 0:
            if not d.sys:
                self.metrics.v[<int>MESSAGES_DROPPED] += d.count
            return 0
        for i in range(m.n_plain):
            self.deliver(d, m.plain + i, publisher)
        for i in range(m.n_groups):
            self.deliver_group(d, m.groups[i], publisher)
        return m.n_plain + m.n_groups

    cdef int deliver(self, Delivery* d, Recipient* r, Session publisher) except -1:
        """One subscriber's copy of each message of the delivery, or its place in the subscriber's queue."""
        cdef Session s = <Session>r.subscriber
        cdef uint8_t granted = r.opts & OPT_QOS, qos
        cdef uint8_t retain = 1 if d.retain and r.opts & OPT_RETAIN_AS_PUBLISHED else 0
        if s is publisher and (r.opts & OPT_NO_LOCAL or (s.version != 5 and s.zone.ignore_loop_deliver)):
            return 0  # [MQTT-3.8.3-3]
        if s.zone.upgrade_qos:
            qos = d.qos if d.qos > granted else granted
        else:
            qos = d.qos if d.qos < granted else granted
        if qos == 0 and s.conn is not None and s.queued_qos0 == 0:
            return self.deliver_now(d, r, s, retain)
        return self.deliver_each(d, r, s, qos, retain)

    cdef int deliver_now(self, Delivery* d, Recipient* r, Session s, uint8_t retain) except -1:
        """QoS 0 to a connected subscriber: the frames as they came where they fit, else encoded once and copied."""
        cdef Connection conn = s.conn
        cdef const uint8_t* bytes
        cdef size_t n
        if conn.slow:
            s.mqueue_dropped += d.count
            self.metrics.v[<int>DROPPED_SLOW] += d.count
            return 0
        if d.payload_len >= LARGE_PAYLOAD or (s.peer_max_packet and d.count > 1
                                              and d.longest + 5 * r.nids > s.peer_max_packet):
            return self.deliver_each(d, r, s, 0, retain)
        if d.verbatim and d.version == s.version and r.nids == 0 and retain == 0:
            bytes = d.frames
            n = d.frames_len
        else:
            bytes = self.flavour(d, s.version, retain, r, &n)
        if s.peer_max_packet and d.count == 1 and n > s.peer_max_packet:
            return self.drop_too_large(s)
        conn.put(bytes, n)
        self.spent += n
        s.deliver_msg += d.count
        if not d.sys:
            self.metrics.v[<int>PUBLISH_SENT] += d.count
            self.metrics.v[<int>PACKETS_SENT] += d.count
            self.metrics.v[<int>MESSAGES_SENT] += d.count
            self.metrics.v[<int>QOS0_SENT] += d.count
        if conn.outbox.pending > self.egress.high_water and conn.blocked:
            self.pause_for = conn
        return 0

    cdef const uint8_t* flavour(self, Delivery* d, uint8_t version, uint8_t retain, Recipient* r,
                                size_t* n) except NULL:
        """The delivery as QoS 0 packets of that version; kept in the scratch buffer for the next subscriber alike."""
        cdef uint32_t subid = r.ids[0] if r.nids else 0
        cdef bint alike = (self.flavour_of is d and self.flavour_version == version
                           and self.flavour_retain == retain and self.flavour_subid == subid and r.nids < 2)
        cdef uint8_t first_byte = 0x30 | retain
        cdef size_t at
        cdef uint8_t* out
        if alike:
            n[0] = self.flavour_len
            return self.scratch
        if d.count == 1:
            out = self.scratch_of(publish_bound(d.topic_len, d.props_len, d.payload_len, r.nids))
            at = put_head(out, version, first_byte, d.topic, d.topic_len, 0, d.props, d.props_len, r.ids, r.nids,
                          d.has_expiry, d.expiry, d.payload_len)
            memcpy(out + at, d.payload, d.payload_len)
            at += d.payload_len
        else:
            out = self.scratch_of(run_bound(d, r.nids))
            at = put_run(d, out, version, first_byte, r.ids, r.nids)
        self.flavour_of = d if r.nids < 2 else NULL
        self.flavour_version = version
        self.flavour_retain = retain
        self.flavour_subid = subid
        self.flavour_len = n[0] = at
        return out

    cdef int deliver_each(self, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1:
        """Message by message: what is acknowledged, queued or large."""
        cdef Delivery one
        cdef size_t pos = 0
        if d.count == 1:
            return self.deliver_one(d, r, s, qos, retain)
        one = d[0]
        one.count = 1
        while delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.msg = NULL
            self.deliver_one(&one, r, s, qos, retain)
            if one.msg != NULL:
                msg_unref(one.msg)
        return 0

    cdef int deliver_one(self, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1:
        cdef Msg* msg = delivery_msg(d)
        cdef Msg* own
        if msg == NULL:
            raise MemoryError
        if r.nids < 2:
            return self.deliver_msg(s, msg, qos, retain, r.ids[0] if r.nids else 0)
        own = with_identifiers(msg, r.ids, r.nids)
        if own == NULL:
            raise MemoryError
        try:
            return self.deliver_msg(s, own, qos, retain, 0)
        finally:
            msg_unref(own)

    cdef int deliver_msg(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1:
        """A message to one session: out now if its window and its socket allow, else into its queue."""
        cdef Connection conn = s.conn
        cdef uint16_t pid
        if conn is None:
            return self.store(s, msg, qos, retain, subid)
        if qos == 0:
            if conn.slow:
                s.mqueue_dropped += 1
                self.metrics.v[<int>DROPPED_SLOW] += 1
                return 0
            if s.queued_qos0:
                return self.store(s, msg, qos, retain, subid)
            self.send_msg(s, msg, 0, retain, 0, subid, 0)
            if conn.outbox.pending > self.egress.high_water and conn.blocked:
                self.pause_for = conn
            return 0
        if s.queued or not s.window_open() or conn.outbox.pending > self.egress.high_water:
            return self.store(s, msg, qos, retain, subid)
        if s.peer_max_packet and self.packet_size(s, msg, qos, subid) > s.peer_max_packet:
            return self.drop_too_large(s)
        pid = s.window_add(msg, qos, retain, subid, self.now)
        if pid == 0:
            raise MemoryError
        return self.send_msg(s, msg, qos, retain, 0, subid, pid)

    cdef int store(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1:
        """Into the session's queue. A subscriber that keeps up loses nothing: its queue may pass its limit while the
        publishers' acknowledgements are withheld."""
        cdef uint32_t limit = s.zone.max_mqueue_len
        cdef bint keeps_up = s.conn is not None and not s.conn.slow
        if qos == 0:
            if (s.conn is None and not s.zone.mqueue_store_qos0) or (limit and s.queued >= limit):
                s.mqueue_dropped += 1
                self.metrics.v[<int>DROPPED_QOS0_OFFLINE] += 1
                return 0
        elif self.gated(s):
            self.gate = s
        if s.enqueue(msg, qos, retain, subid, not (qos and keeps_up)):
            self.metrics.v[<int>DROPPED_QUEUE_FULL] += 1
        return 0

    cdef bint gated(self, Session s) noexcept:
        """The session's queue is full although its client keeps up: who fills it has to wait."""
        cdef uint32_t limit = s.zone.max_mqueue_len
        return limit != 0 and s.queued >= limit and s.conn is not None and not s.conn.slow

    cdef int deliver_group(self, Delivery* d, Group* group, Session publisher) except -1:
        """Each message of the delivery to one member of a shared group [MQTT-4.8.2-4]."""
        cdef Delivery one
        cdef size_t pos = 0, begin = 0
        cdef uint64_t who = publisher.hash if publisher is not None else 0
        if d.count == 1:
            return self.deliver_member(d, group, who)
        one = d[0]
        one.count = 1
        one.msg = NULL
        while delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.frames = d.frames + begin
            one.frames_len = one.longest = pos - begin
            begin = pos
            self.deliver_member(&one, group, who)
            if one.msg != NULL:
                msg_unref(one.msg)
                one.msg = NULL
        return 0

    cdef int deliver_member(self, Delivery* d, Group* group, uint64_t who) except -1:
        """The strategy's choice, or with `shared_dispatch_ack` the first after it that is connected and has room."""
        cdef Recipient* first = self.router.choose(group, who, 0)
        cdef Recipient* r = first
        cdef uint32_t attempt = 0
        self.flavour_of = NULL
        if self.shared_dispatch_ack and d.qos:
            while r != NULL and not accepts(<Session>r.subscriber):
                attempt += 1
                r = self.router.choose(group, who, attempt)
        if r == NULL:
            r = self.router.choose(group, who, 0)
        return self.deliver(d, r, None) if r != NULL else 0

    # -- bytes out ----------------------------------------------------------------------------------------------------

    cdef size_t packet_size(self, Session s, Msg* msg, uint8_t qos, uint32_t subid) noexcept:
        cdef size_t remaining = 2 + msg.topic_len + <size_t>msg.payload_len, props
        if qos:
            remaining += 2
        if s.version == 5:
            props = msg.props_len + (5 if msg.flags & MSG_HAS_EXPIRY else 0)
            if subid:
                props += 1 + varint_size(subid)
            remaining += props + varint_size(<uint32_t>props)
        return 1 + varint_size(<uint32_t>remaining) + remaining

    cdef int drop_too_large(self, Session s) except -1:
        """[MQTT-3.1.2-24] [MQTT-3.1.2-25] Dropped as if it had been sent."""
        s.mqueue_dropped += 1
        self.metrics.v[<int>DROPPED_TOO_LARGE] += 1
        return 0

    cdef int send_msg(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint8_t dup, uint32_t subid,
                      uint16_t pid) except -1:
        """A PUBLISH into the outbox of a connected session."""
        cdef Connection conn = s.conn
        cdef size_t bound = publish_bound(msg.topic_len, msg.props_len, 0, 1), n
        cdef bint large = msg.payload_len >= LARGE_PAYLOAD and conn.transport is None
        cdef uint8_t* dst
        if qos == 0 and s.peer_max_packet and self.packet_size(s, msg, qos, subid) > s.peer_max_packet:
            return self.drop_too_large(s)
        dst = outbox_reserve(&conn.outbox, bound + (0 if large else msg.payload_len))
        if dst == NULL:
            raise MemoryError
        n = put_head(dst, s.version, 0x30 | (dup << 3) | (qos << 1) | retain, msg_topic(msg), msg.topic_len, pid,
                     msg_props(msg), msg.props_len, &subid, 1 if subid else 0,
                     (msg.flags & MSG_HAS_EXPIRY) != 0, msg_remaining(msg, self.now), msg.payload_len)
        if not large and msg.payload_len:
            memcpy(dst + n, msg_payload(msg), msg.payload_len)
            n += msg.payload_len
        outbox_commit(&conn.outbox, n)
        if large:
            if outbox_splice(&conn.outbox, msg) < 0:
                raise MemoryError
            n += msg.payload_len
        s.deliver_msg += 1
        self.count_sent(msg, qos)
        self.spent += n
        return self.egress.touch(conn, n)

    cdef void count_sent(self, Msg* msg, uint8_t qos) noexcept:
        cdef uint64_t* v = self.metrics.v
        if msg.flags & MSG_SYS:
            return
        v[<int>PUBLISH_SENT] += 1
        v[<int>PACKETS_SENT] += 1
        v[<int>MESSAGES_SENT] += 1
        v[<int>QOS0_SENT + 2 * qos] += 1

    cdef int send_pubrel(self, Session s, uint16_t pid) except -1:
        cdef uint8_t packet[4]
        packet[0] = 0x62
        packet[1] = 2
        packet[2] = <uint8_t>(pid >> 8)
        packet[3] = <uint8_t>pid
        self.metrics.v[<int>PUBREL_SENT] += 1
        self.metrics.v[<int>PACKETS_SENT] += 1
        return s.conn.put(packet, 4)

    # -- sessions ---------------------------------------------------------------------------------------------------

    cpdef drain(self, Session s):
        """Sends from the queue while the window and the socket take it, and lets waiting publishers go on."""
        cdef Queued q
        cdef uint16_t pid
        while s.queued and s.conn is not None and s.conn.outbox.pending <= self.egress.high_water:
            if not s.window_open():
                break
            if not s.dequeue(&q):
                break
            try:
                if msg_expired(q.msg, self.now):
                    self.metrics.v[<int>DROPPED_EXPIRED] += 1
                    self.metrics.v[<int>MESSAGES_EXPIRED] += 1
                elif q.qos == 0:
                    self.send_msg(s, q.msg, 0, q.retain, 0, q.subid, 0)
                elif s.peer_max_packet and self.packet_size(s, q.msg, q.qos, q.subid) > s.peer_max_packet:
                    self.drop_too_large(s)
                else:
                    pid = s.window_add(q.msg, q.qos, q.retain, q.subid, self.now)
                    if pid == 0:
                        raise MemoryError
                    self.send_msg(s, q.msg, q.qos, q.retain, 0, q.subid, pid)
            finally:
                msg_unref(q.msg)
        if s.gated_publishers is not None and not self.gated(s):
            waiting = s.gated_publishers
            s.gated_publishers = None
            for publisher in waiting:
                publisher.recheck()

    def resume(self, Session s not None):
        """After a reconnect: what is in flight again, in the original order [MQTT-4.4.0-1] [MQTT-4.6.0-1], then the
        queue."""
        self.resend(s, -1)
        self.drain(s)
        self.egress.flush_all()

    cdef int resend(self, Session s, int64_t sent_before) except -1:
        """Sends in-flight packets again whose last sending is older than that; all of them for -1."""
        cdef Window* w = &s.window
        cdef uint32_t i
        cdef Slot* slot
        for i in range(w.span):
            slot = w.slots + ((w.head + i) & (w.cap - 1))
            if slot.state == SLOT_FREE or (sent_before >= 0 and slot.sent > sent_before):
                continue
            slot.sent = self.now
            if slot.state == WAIT_PUBCOMP:
                self.send_pubrel(s, s.slot_pid(i))
            elif s.peer_max_packet and self.packet_size(s, slot.msg, slot.qos, slot.subid) > s.peer_max_packet:
                self.drop_too_large(s)
                s.window_done(slot)
            else:
                self.send_msg(s, slot.msg, slot.qos, slot.retain, 1, slot.subid, s.slot_pid(i))
        return 0

    def discard(self, Session s not None):
        """The session ends: its subscriptions, queue and window are gone, and it is no longer listed."""
        self.router.unsubscribe_all(s)
        s.drop_window()
        s.drop_queues()
        if self.sessions.get(s.client_id) is s:
            del self.sessions[s.client_id]
        self.drain(s)

    # -- retained messages ------------------------------------------------------------------------------------------

    cdef int retain(self, Delivery* d) except -1:
        """Stores or, with an empty payload, removes the topic's retained message [MQTT-3.3.1-5] [MQTT-3.3.1-6]."""
        cdef Msg* msg
        if self.retained is None:
            return 0
        if d.payload_len == 0:
            self.retained.delete(d.topic[:d.topic_len])
            self.metrics.v[<int>MESSAGES_RETAINED] = len(self.retained)
            return 0
        if self.max_retained_payload and d.payload_len > self.max_retained_payload:
            return 0
        if (self.max_retained and len(self.retained) >= self.max_retained
                and self.retained.get(d.topic[:d.topic_len]) is None):
            return 0
        msg = delivery_msg(d)
        if msg == NULL:
            raise MemoryError
        if self.retained_expiry and not msg.flags & MSG_HAS_EXPIRY and not d.sys:
            msg = msg_new(d.topic, d.topic_len, d.props, d.props_len, d.payload, d.payload_len, d.client,
                          d.client_len, d.qos, MSG_RETAIN | MSG_HAS_EXPIRY, self.retained_expiry, d.now)
            if msg == NULL:
                raise MemoryError
            self.retained.put(msg)
            msg_unref(msg)
        else:
            self.retained.put(msg)
        self.metrics.v[<int>MESSAGES_RETAINED] = len(self.retained)
        return 0

    def sweep_retained(self, uint32_t budget):
        """Removes expired retained messages, looking at no more than `budget` of them; returns how many are gone."""
        cdef int gone
        if self.retained is None:
            return 0
        gone = self.retained.sweep(self.now, budget)
        self.metrics.v[<int>MESSAGES_RETAINED] = len(self.retained)
        return gone


cdef bint accepts(Session s) noexcept:
    """Connected, not slow, its queue not full."""
    cdef uint32_t limit = s.zone.max_mqueue_len
    return s.conn is not None and not s.conn.slow and (limit == 0 or s.queued < limit)


cdef Msg* with_identifiers(Msg* msg, const uint32_t* ids, uint32_t nids) noexcept nogil:
    """A copy for a subscriber whose overlapping subscriptions have several identifiers [MQTT-3.3.4-4]."""
    cdef uint8_t* props = <uint8_t*>malloc(msg.props_len + 5 * nids)
    cdef size_t at = 0
    cdef uint32_t i
    cdef Msg* copy
    if props == NULL:
        return NULL
    for i in range(nids):
        props[at] = PROP_SUBSCRIPTION_ID
        at += 1 + put_varint(props + at + 1, ids[i])
    memcpy(props + at, msg_props(msg), msg.props_len)
    copy = msg_new(msg_topic(msg), msg.topic_len, props, at + msg.props_len, msg_payload(msg), msg.payload_len,
                   msg_client(msg), msg.client_len, msg.qos, msg.flags, msg.expiry, msg.arrived)
    free(props)
    return copy
