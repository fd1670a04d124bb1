"""The way of a message: route → deliver → window, queue or outbox. See engine.pxd."""

cimport cython
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from router_ext.net.connection cimport Connection
from router_ext.message.publish_frames cimport (
    Delivery, delivery_msg, delivery_next, delivery_of, publish_bound, put_head, put_identifiers,
)
from router_ext.message.encoded_publish cimport EncodedPublish, encoded_for, free_encodings
from router_ext.message.message cimport (
    MSG_HAS_EXPIRY, MSG_SYS, Message, checked, msg_client, msg_expired, msg_new, msg_payload, msg_props, msg_ref,
    msg_remaining, msg_topic, msg_unref, msg_unstored, wrap,
)
from router_ext.net.metrics cimport (
    DROPPED_EXPIRED, DROPPED_QOS0_OFFLINE, DROPPED_QUEUE_FULL, DROPPED_SLOW, DROPPED_TOO_LARGE, MESSAGES_DROPPED,
    MESSAGES_EXPIRED, MESSAGES_SENT, PACKETS_SENT, PUBLISH_SENT, PUBREL_SENT, QOS0_SENT,
)
from router_ext.message.outbox cimport outbox_commit, outbox_reserve, outbox_splice
from router_ext.engine.postponed cimport Postponed
from router_ext.engine.retained_delivery cimport send_backlog, send_retained_first, store_retained
from router_ext.routing.router cimport OPT_NO_LOCAL, OPT_QOS, OPT_RETAIN_AS_PUBLISHED, Group
from router_ext.routing.search cimport Search
from router_ext.session.session cimport WAIT_PUBCOMP, WAIT_STORE, Queue, Queued, Slot, Window
from router_ext.engine.stored_sessions cimport page_in
from router_ext.routing.watch cimport SEEN_ACKED, SEEN_DROPPED, SEEN_QUEUED, SEEN_RECEIVED, SEEN_SENT, Watch, Watches
from router_ext.protocol.wire cimport varint_size

cdef enum:
    INBUF = 262144
    ALIAS_ROOM = 5          # a topic alias, and the lengths that it may make longer
    ACK_PATIENCE = 1000         # ms
    SOME_LOOKS = 1024       # at once for one topic, some tens of microseconds,
    FEW_LOOKS = 64          # and when those of the turn are used up
    LOOK_COSTS = 64         # bytes of output that take as long
    QUEUE_EXCESS = 67108864     # bytes a queue may hold beyond its limit in messages

# What handlers of `message.dropped` are told, by the counter.
cdef dict DROP_REASONS = {
    <int>MESSAGES_DROPPED: "no_subscribers", <int>DROPPED_QUEUE_FULL: "queue_full", <int>DROPPED_SLOW: "slow_subscriber",
    <int>DROPPED_TOO_LARGE: "too_large", <int>DROPPED_QOS0_OFFLINE: "qos0_offline", <int>DROPPED_EXPIRED: "expired",
}
# What traces are told, by what was seen.
cdef tuple EVENTS = ("published",) * 3 + ("delivered",) * 3 + ("queued", "acknowledged", "dropped")


@cython.final
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
        self.chores = Chores()
        self.found = {}
        self.hooked_prefixes = []
        self.reports = []
        self.watches = Watches()

    def __dealloc__(self):
        free(self.inbuf)
        free_encodings(self.encodings)

    # -- publishing from Python -----------------------------------------------------------------------------------

    def publish(self, Message message not None, Session publisher=None, bint retain=True):
        """Routes a message made in Python (REST, wills, $SYS) and stores it if it is retained and `retain`.

        Returns how many subscribers, shared groups counting as one, it went to."""
        cdef Delivery d
        cdef Routing call
        cdef Msg* msg = checked(msg_unstored(message.msg))
        cdef int reached
        if msg.arrived == 0:
            msg.arrived = self.now
        delivery_of(&d, msg, self.now)
        try:
            if d.retain and retain:
                store_retained(self, &d)
            reached = self.route(&call, &d, publisher)
        finally:
            msg_unref(msg)
        self.egress.flush_all()
        if self.journal is not None and self.journal.mark() == self.journal.batch and not self.in_turn and self.wake:
            self.wake()
        return reached

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

    def hook_reports(self, bint delivered, bint dropped, bint acked):
        """Whether the broker's `on_reports` is to hear of each message delivered, dropped or acknowledged."""
        self.delivered_hooked = delivered
        self.dropped_hooked = dropped
        self.acked_hooked = acked
        self.update_observing()

    def watch(self, Watch watch not None):
        """Counts, and traces if it is for that, messages from now on until `unwatch`."""
        self.watches.table.subscribe(watch.topic_filter.encode(), watch, 0)
        self.update_observing()

    def unwatch(self, Watch watch not None):
        self.watches.table.unsubscribe_all(watch)
        self.update_observing()

    def trace_clients(self, set client_ids not None):
        """What becomes of messages from and to clients of these ids is told, whether they are connected or not. It
        replaces the ids of the last call."""
        cdef Session s
        cdef bytes one
        cdef set before = self.watches.clients
        self.watches.clients = {client_id.encode() for client_id in client_ids}
        for one in before ^ self.watches.clients:
            s = self.sessions.get(one.decode())
            if s is not None:
                s.trace(one in self.watches.clients)
        self.update_observing()

    cdef int update_observing(self) except -1:
        self.watched = self.watches.any()
        self.observing = self.watched or self.delivered_hooked or self.dropped_hooked or self.acked_hooked
        return 0

    cdef int observe_delivered(self, Session s, Msg* msg, uint8_t qos) except -1:
        if self.delivered_hooked:
            self.report(("message.delivered", s, wrap(msg)))
        if self.watched:
            self.watch_message(SEEN_SENT + qos, s, msg, qos, "")
        return 0

    cdef int observe_acked(self, Session s, Msg* msg, uint8_t qos) except -1:
        if self.acked_hooked:
            self.report(("message.acked", s, wrap(msg)))
        if self.watched:
            self.watch_message(SEEN_ACKED, s, msg, qos, "")
        return 0

    cdef int watch_message(self, uint8_t seen, Session s, Msg* msg, uint8_t qos, str reason) except -1:
        """What became of one message: counted, and told where a trace is for its topic, for `s` or for its
        publisher."""
        cdef bint traced = self.watches.count(msg_topic(msg), msg.topic_len, seen, 1, msg.payload_len)
        if not (traced or (s is not None and s.traced) or self.watches.concerns(msg_client(msg), msg.client_len)):
            return 0
        if self.watches.may_report():
            self.report(("message.traced", EVENTS[seen], s, wrap(msg), qos, reason))
        return 0

    cdef int report(self, tuple event) except -1:
        """Handlers are told at the end of the turn: what they publish must not come between this message's copies."""
        self.reports.append(event)
        if not self.in_turn and self.wake:
            self.wake()
        return 0

    cdef int notify_handlers(self) except -1:
        """What handlers do here is told in the next turn."""
        cdef list reports = self.reports
        if reports:
            self.reports = []
            self.policy.on_reports(reports)
        return 0

    cdef int dropped(self, Session s, Msg* msg, int counter) except -1:
        """`s` does not get the message, or with None nobody does. NULL: one that only the store has."""
        self.metrics.v[counter] += 1
        if self.dropped_hooked:
            self.report(("message.dropped", s, wrap(msg) if msg != NULL else None, DROP_REASONS[counter]))
        if self.watched and msg != NULL:
            self.watch_message(SEEN_DROPPED, s, msg, msg.qos, DROP_REASONS[counter])
        return 0

    cdef int dropped_all(self, Routing* call, Session s, Delivery* d, int counter) except -1:
        """`dropped` for each message of a delivery."""
        cdef Delivery one
        cdef size_t pos = 0
        if not (self.dropped_hooked or call.tracing or (s is not None and s.traced)):
            self.metrics.v[counter] += d.count
            if call.observing and self.watched:
                self.watches.count(d.topic, d.topic_len, SEEN_DROPPED, d.count, payload_of(call, d))
            return 0
        if d.count == 1:
            return self.dropped(s, checked(delivery_msg(d)), counter)
        one = d[0]
        one.count = 1
        while delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.msg = NULL
            self.dropped(s, checked(delivery_msg(&one)), counter)
            msg_unref(one.msg)
        return 0

    # -- routing ----------------------------------------------------------------------------------------------------

    cdef int route(self, Routing* call, Delivery* d, Session publisher) except -1:
        """Hands a delivery to everyone it is for; returns how many that are. Where it takes long to find them it waits,
        and one is returned. `call` need not be filled; afterwards it says what came of it."""
        begin(self, call, publisher)
        if d.match == NULL:
            d.match = self.recipients(d.topic, d.topic_len)
            if d.match == NULL:
                if d.qos == 0 or self.journal is None:
                    return self.park(call, d, publisher)
                # It is acknowledged, and may have to be on disk before that.
                d.match = self.router.match(d.topic, d.topic_len)
        if self.watched:
            self.observe_received(call, d)
        return route_to_matches(self, call, d)

    cdef Match* recipients(self, const uint8_t* topic, size_t n) except? NULL:
        """Who gets a message on that topic, valid until the table changes; NULL when it takes long to find them."""
        cdef Match* match = self.router.known_match(topic, n)
        cdef int64_t looks = 0
        if match == NULL:
            match = self.router.find_match(topic, n, self.most_looks(SOME_LOOKS), &looks)
            self.charge(-looks)
        return match

    cdef int64_t most_looks(self, int64_t at_once) noexcept:
        """Up to `at_once`, as long as the turn, whose looks are for all channels together, has so many."""
        return max(<int64_t>FEW_LOOKS, min(at_once, self.looks))

    cdef int charge(self, int64_t looks) except -1:
        """To the turn of the loop, and to the channel's in it."""
        self.looks -= looks
        self.spent += <size_t>looks * LOOK_COSTS
        return 0

    cdef Match* take_found(self, Connection c, const uint8_t* topic, size_t n) except? NULL:
        """What a search for this channel has found, if it was for that topic; else NULL."""
        cdef Search search = self.found.pop(c, None)
        self.taken = search
        return search.result() if search is not None and search.is_for(topic, n) else NULL

    cdef int park(self, Routing* call, Delivery* d, Session publisher) except -1:
        """The message waits until its recipients are found."""
        cdef Postponed search = Postponed(self.router, d.topic[:d.topic_len])
        search.engine = self
        search.publisher = publisher
        search.msg = checked(delivery_msg(d))
        msg_ref(search.msg)
        self.chores.add(search)
        call.parked = <void*>search
        if not self.in_turn and self.wake:
            self.wake()
        return 1

    cdef int observe_received(self, Routing* call, Delivery* d) except -1:
        """Counts the messages. Where a trace is for them and there is room, they go out one by one, so that each copy is
        reported. What nobody watches is not looked at again on its way."""
        cdef bint traced
        if len(self.watches.clients) == 0 and self.watches.table.match(d.topic, d.topic_len).n_plain == 0:
            call.observing = self.delivered_hooked or self.dropped_hooked or self.acked_hooked
            return 0
        call.payload_bytes = payload_bytes(d)
        traced = self.watches.count(d.topic, d.topic_len, SEEN_RECEIVED + d.qos, d.count, call.payload_bytes)
        if (traced or self.watches.concerns(d.client, d.client_len)) and self.report_received(d):
            call.each_from = 0
            call.tracing = True
        return 0

    cdef bint report_received(self, Delivery* d) except? True:
        """Whether there was room for it. Of a run, what follows has half of it."""
        cdef Delivery one = d[0]
        cdef size_t pos = 0
        cdef uint32_t told = 0, most = (self.watches.room + 1) // 2
        if d.count == 1:
            return self.report_one_received(d)
        one.count = 1
        while told < most and delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.msg = NULL
            self.report_one_received(&one)
            if one.msg != NULL:
                msg_unref(one.msg)
            told += 1
        self.watches.skipped += d.count - told
        return told != 0

    cdef bint report_one_received(self, Delivery* d) except? True:
        if not self.watches.may_report():
            return False
        return self.report(("message.traced", "published", None, wrap(checked(delivery_msg(d))), d.qos, "")) == 0

    cdef int deliver_to_session(self, Routing* call, Delivery* d, Recipient* r) except -1:
        """One subscriber's copy of each message of the delivery, or its place in the subscriber's queue."""
        cdef Session s = <Session>r.subscriber
        cdef uint8_t granted = r.opts & OPT_QOS, qos
        cdef uint8_t retain = 1 if d.retain and r.opts & OPT_RETAIN_AS_PUBLISHED else 0
        if <void*>s == call.publisher and not call.shared and (
                r.opts & OPT_NO_LOCAL or (s.version != 5 and s.zone.ignore_loop_deliver)):
            return 0  # [MQTT-3.8.3-3]
        if s.backlog is not None and not call.shared:
            send_retained_first(self, call, d, s)
        if s.zone.upgrade_qos:
            qos = d.qos if d.qos > granted else granted
        else:
            qos = d.qos if d.qos < granted else granted
        if qos == 0 and s.conn is not None and s.queued_qos0 == 0:
            return self.write_qos0(call, d, r, s, retain)
        return self.deliver_run_singly(call, d, r, s, qos, retain)

    cdef int write_qos0(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t retain) except -1:
        """QoS 0 to a connected subscriber: the frames as they came where they fit, else encoded once and copied."""
        cdef Connection conn = s.conn
        cdef EncodedPublish* encoded
        cdef const uint8_t* bytes
        cdef size_t n
        if conn.slow:
            s.count_dropped(d.count)
            return self.dropped_all(call, s, d, DROPPED_SLOW)
        if d.payload_len >= call.each_from or (not s.direct and one_by_one(d, r, s)):
            return self.deliver_run_singly(call, d, r, s, 0, retain)
        if d.verbatim and d.version == s.version and r.nids == 0 and retain == 0:
            bytes = d.frames
            n = d.frames_len
        else:
            encoded = encoded_for(self.encodings, d, s.version, retain, r.ids, r.nids)
            if encoded == NULL:
                raise MemoryError
            bytes = encoded.bytes
            n = encoded.n
        if not s.direct and d.count == 1 and n > s.peer_max_packet:
            return self.drop_too_large(s, checked(delivery_msg(d)))
        conn.put(bytes, n)
        self.spent += n
        s.count_delivered(d.count)
        if call.observing and self.watched:
            self.watches.count(d.topic, d.topic_len, SEEN_SENT, d.count, payload_of(call, d))
        if not d.sys:
            self.metrics.v[<int>PUBLISH_SENT] += d.count
            self.metrics.v[<int>PACKETS_SENT] += d.count
            self.metrics.v[<int>MESSAGES_SENT] += d.count
            self.metrics.v[<int>QOS0_SENT] += d.count
        if conn.outbox.pending > self.egress.pause_at and conn.blocked and <void*>conn != call.publisher_conn:
            call.pause_for = <void*>conn
        return 0

    cdef int deliver_run_singly(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1:
        """Message by message: what is acknowledged, queued or large."""
        cdef Delivery one
        cdef size_t pos = 0
        if d.count == 1:
            return self.deliver_message(call, d, r, s, qos, retain)
        one = d[0]
        one.count = 1
        while delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.msg = NULL
            self.deliver_message(call, &one, r, s, qos, retain)
            if one.msg != NULL:
                msg_unref(one.msg)
        return 0

    cdef int deliver_message(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1:
        cdef Msg* msg = checked(delivery_msg(d))
        cdef Msg* own
        if r.nids < 2:
            return self.send_or_queue(call, s, msg, qos, retain, r.ids[0] if r.nids else 0)
        own = checked(with_identifiers(msg, r.ids, r.nids))
        try:
            return self.send_or_queue(call, s, own, qos, retain, 0)
        finally:
            msg_unref(own)

    cdef int send_or_queue(self, Routing* call, Session s, Msg* msg, uint8_t qos, uint8_t retain,
                           uint32_t subid) except -1:
        """A message to one session: out now if its window and its socket allow, else into its queue."""
        cdef Connection conn = s.conn
        cdef uint16_t pid
        cdef Queued q
        if conn is None:
            return self.store(call, s, msg, qos, retain, subid)
        if qos == 0:
            if conn.slow:
                s.count_dropped(1)
                return self.dropped(s, msg, DROPPED_SLOW)
            if s.queued_qos0:
                return self.store(call, s, msg, qos, retain, subid)
            self.send_msg(call.observing, s, msg, 0, retain, 0, subid, 0)
            if conn.outbox.pending > self.egress.pause_at and conn.blocked and <void*>conn != call.publisher_conn:
                call.pause_for = <void*>conn
            return 0
        if s.queued or s.stored or not s.window_open() or conn.slow or conn.outbox.pending > self.egress.high_water:
            return self.store(call, s, msg, qos, retain, subid)
        if s.peer_max_packet and self.packet_size(s, msg, qos, subid) > s.peer_max_packet:
            return self.drop_too_large(s, msg)
        if s.sid:
            q = Queued(msg, 0, subid, qos, retain, call.shared)
            return self.send_in_window(call.observing, s, &q)
        pid = s.next_pid()
        s.window_add(pid, msg, qos, retain, subid, call.shared, self.now)
        return self.send_msg(call.observing, s, msg, qos, retain, 0, subid, pid)

    cdef int send_in_window(self, bint observing, Session s, Queued* q) except -1:
        """Sends a QoS 1 or 2 message in the session's window. For a stored session its packet id is recorded, and one
        of QoS 2 goes out after that is on disk: after a crash no second id may be used for it [MQTT-4.3.3-1]. What
        comes behind one that waits for that waits too: the window has the order of sending [MQTT-4.6.0-1]."""
        cdef uint16_t pid = s.next_pid()
        cdef Slot* before = s.newest()
        cdef bint waits = q.qos == 2 or (before != NULL and before.state == WAIT_STORE)
        cdef Slot* slot
        if s.sid and self.journal is not None:
            q.entry = self.place_in_flight(s, q, pid, before.entry if before != NULL else 0)
        slot = s.window_add(pid, q.msg, q.qos, q.retain, q.subid, q.shared, self.now)
        slot.entry = q.entry
        if waits and q.entry and self.journal.waits:
            slot.state = WAIT_STORE
            return s.conn.after_commit(0x34, pid, self.journal.mark())
        return self.send_msg(observing, s, q.msg, q.qos, q.retain, 0, q.subid, pid)

    cdef uint64_t place_in_flight(self, Session s, Queued* q, uint16_t pid, uint64_t before) except? 0:
        """The place in the store of a message that is sent now, behind `before`, that of the one sent last: the store
        gives messages in flight back in the order of their places. One that a higher priority let by gets a new
        place."""
        cdef uint64_t entry = q.entry
        if entry > before:
            self.journal.send_began(s.sid, entry, pid)
            return entry
        q.entry = self.journal.enqueue(s.sid, q.msg, q.qos, q.retain | q.shared << 1, q.subid, pid)
        if entry:
            self.forget_place(s, entry, q.msg)
        return q.entry

    cdef int store(self, Routing* call, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1:
        """Into the session's queue. A full one loses its oldest message, but never one that is acknowledged for one
        that is not; and nothing while its client keeps up: then it may pass its limit while the publishers'
        acknowledgements are withheld."""
        cdef Queue* q = s.queue_of(msg)
        cdef uint32_t limit = s.zone.max_mqueue_len
        cdef bint full = limit != 0 and s.depth(q) >= limit, waits = False
        cdef bint durable = s.sid != 0 and self.journal is not None
        cdef uint64_t entry = 0
        if qos == 0 and ((s.conn is None and not s.zone.mqueue_store_qos0)
                         or (full and (q.count == 0 or q.items[q.head].qos)) or (durable and self.journal.behind())):
            s.count_dropped(1)
            return self.dropped(s, msg, DROPPED_QOS0_OFFLINE)
        if full and qos and self.keeps_up(s):
            call.full_session = <void*>s
            waits = True
        if full and not waits:
            self.make_room(s, msg)
        if call.observing and self.watched:
            self.watch_message(SEEN_QUEUED, s, msg, qos, "")
        if durable:
            entry = self.journal.enqueue(s.sid, msg, qos, retain | call.shared << 1, subid, 0)
            if s.stored or (s.conn is None and s.zone.mqueue_priorities is None):  # the store knows no priorities
                s.enqueue_in_store()
                return 0
            s.loaded_up_to(entry)
        return s.enqueue(msg, qos, retain, subid, call.shared, entry)

    cdef bint keeps_up(self, Session s) noexcept:
        """Connected, takes bytes, acknowledges; and those who fill its queue did heed that they were to wait."""
        return s.conn is not None and not s.conn.slow and not s.stalled and s.queued_bytes < QUEUE_EXCESS

    cdef bint defers_publishers(self, Session s) noexcept:
        """The session's queue is full although its client keeps up: who fills it has to wait."""
        return s.full() and self.keeps_up(s)

    cdef int check_stalled_queue(self, Session s) except -1:
        """Called every few tens of milliseconds while publishers wait for the session: a client that acknowledges
        nothing for ACK_PATIENCE no longer keeps up, until its queue is half empty."""
        if self.now - max(s.blocked_since, s.progress) >= ACK_PATIENCE:
            s.stall()
            self.drain(s)
        return 0

    cdef int make_room(self, Session s, Msg* msg) except -1:
        """A full queue loses its oldest message (`max_mqueue_len`)."""
        cdef Queued oldest
        if s.drop_oldest(msg, &oldest):
            if oldest.entry:
                self.forget_place(s, oldest.entry, oldest.msg)
            self.dropped(s, oldest.msg, DROPPED_QUEUE_FULL)
            msg_unref(oldest.msg)
        elif s.queued == 0 and not s.paging and s.stored > s.stored_in_flight:
            self.journal.drop_oldest(s.sid, 1)
            s.count_stored(-1)
            s.count_dropped(1)
            self.dropped(s, NULL, DROPPED_QUEUE_FULL)
        return 0

    cdef int forget_place(self, Session s, uint64_t entry, Msg* msg) except -1:
        """A message has left a stored session."""
        if entry and s.sid and self.journal is not None:
            self.journal.remove(s.sid, entry, msg)
        return 0

    cdef int deliver_group(self, Routing* call, Delivery* d, Group* group) except -1:
        """Each message of the delivery to one member of a shared group (section 4.8.2)."""
        cdef Delivery one
        cdef size_t pos = 0, begin = 0
        cdef uint64_t who = (<Session>call.publisher).hash if call.publisher != NULL else 0
        if d.count == 1:
            return self.deliver_member(call, d, group, who)
        one = d[0]
        one.count = 1
        one.msg = NULL
        while delivery_next(d, &pos, &one.payload, &one.payload_len):
            one.frames = d.frames + begin
            one.frames_len = one.longest = pos - begin
            begin = pos
            self.deliver_member(call, &one, group, who)
            if one.msg != NULL:
                msg_unref(one.msg)
                one.msg = NULL
        return 0

    cdef int deliver_member(self, Routing* call, Delivery* d, Group* group, uint64_t who) except -1:
        """The strategy's choice, or with `shared_dispatch_ack` the first after it that is connected and has room."""
        cdef Recipient* first = self.router.choose(group, who, 0)
        cdef Recipient* r = first
        cdef uint32_t attempt = 0
        self.routed += 1
        d.number = self.routed
        if self.shared_dispatch_ack and d.qos:
            while r != NULL and not accepts(<Session>r.subscriber):
                attempt += 1
                r = self.router.choose(group, who, attempt)
        if r == NULL:
            r = first
        if r == NULL:
            return 0
        call.shared = True
        self.deliver_to_session(call, d, r)
        call.shared = False
        return 0

    # -- bytes out ----------------------------------------------------------------------------------------------------

    cdef size_t packet_size(self, Session s, Msg* msg, uint8_t qos, uint32_t subid) noexcept:
        cdef size_t remaining = 2 + msg.topic_len - s.hidden(msg) + <size_t>msg.payload_len, props
        if qos:
            remaining += 2
        if s.version == 5:
            props = msg.props_len + (5 if msg.flags & MSG_HAS_EXPIRY else 0)
            if subid:
                props += 1 + varint_size(subid)
            remaining += props + varint_size(<uint32_t>props)
        return 1 + varint_size(<uint32_t>remaining) + remaining

    cdef int drop_too_large(self, Session s, Msg* msg) except -1:
        """[MQTT-3.1.2-24] [MQTT-3.1.2-25] Dropped as if it had been sent."""
        s.count_dropped(1)
        return self.dropped(s, msg, DROPPED_TOO_LARGE)

    cdef int send_msg(self, bint observing, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint8_t dup,
                      uint32_t subid, uint16_t pid) except -1:
        """A PUBLISH into the outbox of a connected session. `observing`: hooks or watches may ask for it."""
        cdef Connection conn = s.conn
        cdef size_t bound = publish_bound(msg.topic_len, msg.props_len, 0, 1), n
        cdef bint large = msg.payload_len >= LARGE_PAYLOAD and conn.transport is None
        cdef uint16_t hidden = s.hidden(msg), topic_len = msg.topic_len - hidden, alias = 0
        cdef bint known = False
        cdef uint8_t* dst
        if qos == 0 and s.peer_max_packet and self.packet_size(s, msg, qos, subid) > s.peer_max_packet:
            return self.drop_too_large(s, msg)
        if s.aliases is not None and (
                s.peer_max_packet == 0 or self.packet_size(s, msg, qos, subid) + ALIAS_ROOM <= s.peer_max_packet):
            alias = s.aliases.alias_of(msg_topic(msg) + hidden, topic_len, &known)
        dst = outbox_reserve(&conn.outbox, bound + (0 if large else msg.payload_len))
        if dst == NULL:
            raise MemoryError
        n = put_head(dst, s.version, 0x30 | (dup << 3) | (qos << 1) | retain, msg_topic(msg) + hidden,
                     0 if known else topic_len, pid, alias, msg_props(msg), msg.props_len, &subid, 1 if subid else 0,
                     (msg.flags & MSG_HAS_EXPIRY) != 0, msg_remaining(msg, self.now), msg.payload_len)
        if not large and msg.payload_len:
            memcpy(dst + n, msg_payload(msg), msg.payload_len)
            n += msg.payload_len
        outbox_commit(&conn.outbox, n)
        if large:
            if outbox_splice(&conn.outbox, msg) < 0:
                raise MemoryError
            n += msg.payload_len
        s.count_delivered(1)
        self.count_sent(msg, qos)
        self.spent += n
        if observing and not dup:
            self.observe_delivered(s, msg, qos)
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
        if s.peer_max_packet and s.peer_max_packet < 4:
            return 0  # [MQTT-3.1.2-24]
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
        if s.window.unsent:
            self.resend(s)
        while (s.queued and s.conn is not None and not s.conn.slow
               and s.conn.outbox.pending <= self.egress.high_water):
            if not s.window_open():
                break
            if not s.dequeue(&q):
                break
            try:
                if msg_expired(q.msg, self.now):
                    self.metrics.v[<int>MESSAGES_EXPIRED] += 1
                    self.dropped(s, q.msg, DROPPED_EXPIRED)
                    self.forget_place(s, q.entry, q.msg)
                elif q.qos == 0:
                    self.send_msg(self.observing, s, q.msg, 0, q.retain, 0, q.subid, 0)
                    self.forget_place(s, q.entry, q.msg)
                elif s.peer_max_packet and self.packet_size(s, q.msg, q.qos, q.subid) > s.peer_max_packet:
                    self.drop_too_large(s, q.msg)
                    self.forget_place(s, q.entry, q.msg)
                else:
                    self.send_in_window(self.observing, s, &q)
            finally:
                msg_unref(q.msg)
        if s.stored and s.conn is not None:
            page_in(self, s)
        if s.backlog is not None:
            send_backlog(self, s)
        if s.stalled:
            s.catch_up()
        if s.blocked_publishers is not None and not self.defers_publishers(s):
            for publisher in s.release_publishers():
                publisher.recheck()

    def resume(self, Session s not None):
        """After a reconnect: what is in flight again, in the original order [MQTT-4.4.0-1] [MQTT-4.6.0-1], then the
        queue."""
        s.window_unsent()
        s.refresh_awaiting(<uint32_t>(self.now // 1000))
        self.drain(s)
        self.egress.flush_all()

    cdef int resend(self, Session s) except -1:
        """What is in flight from an earlier connection, in order, as far as the client's Receive Maximum
        [MQTT-3.3.4-9] and its socket let it; `drain` goes on with it."""
        cdef Window* w = &s.window
        cdef Slot* slot
        while s.conn is not None and s.conn.outbox.pending <= self.egress.high_water:
            if s.max_inflight and w.busy - w.unsent >= s.max_inflight:
                return 0
            slot = s.window_next_unsent()
            if slot == NULL:
                return 0
            self.resend_slot(s, slot)
        return 0

    cdef int retry(self, Session s, int64_t sent_before) except -1:
        """Sends in-flight packets again whose last sending is older than that (`retry_interval`, MQTT 3 only)."""
        cdef Slot* slot = s.oldest()
        cdef uint16_t after
        while slot != NULL:
            after = slot.after
            if slot.state != WAIT_STORE and 0 <= slot.sent <= sent_before:
                self.resend_slot(s, slot)
            slot = s.window_find(after)
        return 0

    cdef int resend_slot(self, Session s, Slot* slot) except -1:
        cdef uint16_t pid = slot.pid
        slot.sent = self.now
        if slot.state == WAIT_STORE:
            return s.conn.after_commit(0x34, pid, self.journal.mark())
        if slot.state == WAIT_PUBCOMP:
            return self.send_pubrel(s, pid)
        if s.peer_max_packet and self.packet_size(s, slot.msg, slot.qos, slot.subid) > s.peer_max_packet:
            self.drop_too_large(s, slot.msg)
            self.forget_place(s, slot.entry, slot.msg)
            s.window_done(slot)
            return 0
        return self.send_msg(self.observing, s, slot.msg, slot.qos, slot.retain, 1, slot.subid, pid)


cdef inline uint64_t payload_of(Routing* call, Delivery* d) noexcept:
    """Bytes of the payloads of a delivery that is watched."""
    return d.payload_len if d.count == 1 else call.payload_bytes


cdef inline int route_to_matches(Engine e, Routing* call, Delivery* d) except -1:
    """`Engine.route`, the recipients being known."""
    cdef Match* m = d.match
    cdef uint32_t i
    e.routed += 1
    d.number = e.routed
    if m.n_plain + m.n_groups == 0:
        if not d.sys:
            e.dropped_all(call, None, d, MESSAGES_DROPPED)
        return 0
    for i in range(m.n_plain):
        e.deliver_to_session(call, d, m.plain + i)
    for i in range(m.n_groups):
        e.deliver_group(call, d, m.groups[i])
    return m.n_plain + m.n_groups


cdef uint64_t payload_bytes(Delivery* d) noexcept:
    """Of all messages of a delivery."""
    cdef uint64_t total = 0
    cdef size_t pos = 0
    cdef const uint8_t* payload = NULL
    cdef uint32_t n = 0
    if d.count == 1:
        return d.payload_len
    while delivery_next(d, &pos, &payload, &n):
        total += n
    return total


cdef bint accepts(Session s) noexcept:
    """Connected, not slow, its queue not full."""
    return s.conn is not None and not s.conn.slow and not s.full()


cdef bint one_by_one(Delivery* d, Recipient* r, Session s) noexcept:
    """A subscriber below a mountpoint, one that is traced, or one for which some packets of the run may be too large."""
    return s.mount is not None or s.traced or (d.count > 1 and d.longest + 5 * r.nids > s.peer_max_packet)


cdef Msg* with_identifiers(Msg* msg, const uint32_t* ids, uint32_t nids) noexcept nogil:
    """A copy for a subscriber whose overlapping subscriptions have several identifiers [MQTT-3.3.4-4]."""
    cdef uint8_t* props = <uint8_t*>malloc(msg.props_len + 5 * nids)
    cdef size_t at
    cdef Msg* copy
    if props == NULL:
        return NULL
    at = put_identifiers(props, ids, nids)
    memcpy(props + at, msg_props(msg), msg.props_len)
    copy = msg_new(msg_topic(msg), msg.topic_len, props, at + msg.props_len, msg_payload(msg), msg.payload_len,
                   msg_client(msg), msg.client_len, msg.qos, msg.flags, msg.expiry, msg.arrived)
    free(props)
    return copy
