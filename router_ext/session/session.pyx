"""Sessions: windows, queues and inbound QoS 2 state. No bytes, no clock: times are arguments."""

cimport cython
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memmove, memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from router_ext.durable.journal cimport Journal
from router_ext.message.message cimport msg_ref, msg_topic, msg_unref

cdef enum:
    PACKET_IDS = 65535      # 1 … 65535, each once at a time [MQTT-2.2.1-4]
    UNSENT = -1


@cython.final
cdef class Session(Subscriber):

    def __init__(self, str client_id not None, Zone zone not None, *, username=None, bint clean_start=True,
                 double created_at=0.0, uint32_t expiry_interval=0):
        self.client_id = client_id
        self.zone = zone
        self.username = username
        self.clean_start = clean_start
        self.created_at = created_at
        self.expiry_interval = expiry_interval
        self.max_inflight = zone.max_inflight
        self.version = 4
        self.direct = True
        self.hash = <uint64_t>hash(client_id)

    def __dealloc__(self):
        self.drop_window()
        self.drop_queues()
        free(self.awaiting.table)

    # -- its connection -----------------------------------------------------------------------------------------

    cdef int bind(self, Connection conn, Zone zone, uint8_t version, uint32_t max_packet, uint16_t receive_max,
                  AliasTable aliases, bytes mount, bint traced, int64_t now) except -1:
        """The client is connected, by `conn`, until `unbind`. `max_packet` and `receive_max` as it gave them (0: not
        given)."""
        self.take_zone(zone)
        self.version = version
        self.peer_max_packet = max_packet
        self.aliases = aliases
        self.mount = mount
        self.trace(traced)
        self.progress = now
        self.max_inflight = zone.max_inflight
        if receive_max and (self.max_inflight == 0 or receive_max < self.max_inflight):
            self.max_inflight = receive_max
        self.stalled = False
        self.conn = conn
        return 0

    cdef void unbind(self) noexcept:
        self.conn = None

    cdef void trace(self, bint on) noexcept:
        """Whether what becomes of its messages is reported. Its version, its mount and its limits are known by now: they
        say how packets may reach the client."""
        self.traced = on
        self.direct = self.peer_max_packet == 0 and self.mount is None and not on

    cdef void count_delivered(self, uint32_t messages) noexcept:
        self.deliver_msg += messages

    cdef void count_dropped(self, uint32_t messages) noexcept:
        """Messages that the client does not get."""
        self.mqueue_dropped += messages

    def taken_over(self, str username):
        """Its client has come back, under this name, and keeps it."""
        self.username = username
        self.clean_start = False

    def expire_after(self, uint32_t seconds):
        """How long it lasts without a connection (Session Expiry Interval)."""
        self.expiry_interval = seconds

    def set_will(self, will):
        """What the broker publishes should the connection end badly, or None."""
        self.will = will

    def take_will(self):
        """The will, which the session has no longer, or None."""
        will = self.will
        self.will = None
        return will

    # -- its end ------------------------------------------------------------------------------------------------

    cdef void end(self, list shared_subscriptions) noexcept:
        """It has ended, but for the messages of its shared subscriptions, (filter, group), that go to other members."""
        self.shared_subscriptions = shared_subscriptions
        self.backlog = None

    cdef uint64_t leave_store(self) noexcept:
        """Nothing is left of it; returns the number under which the store has it, 0: none."""
        cdef uint64_t sid = self.sid
        self.drop_queues()
        self.shared_subscriptions = None
        self.sid = 0
        return sid

    # -- publishers that wait for it ----------------------------------------------------------------------------

    cdef void note_progress(self, int64_t now) noexcept:
        """The client acknowledges: it keeps up."""
        self.progress = now

    cdef int block_publisher(self, Connection publisher, int64_t now) except -1:
        """Acknowledgements to that channel wait until there is room in the queue."""
        if self.blocked_publishers is None:
            self.blocked_publishers = []
            self.blocked_since = now
        if publisher not in self.blocked_publishers:
            self.blocked_publishers.append(publisher)
        return 0

    cdef list release_publishers(self):
        """Those who waited; nobody does any more."""
        cdef list publishers = self.blocked_publishers
        self.blocked_publishers = None
        return publishers

    cdef void stall(self) noexcept:
        """The client acknowledges nothing: publishers wait for it no longer, until its queue is half empty."""
        self.stalled = True

    cdef void catch_up(self) noexcept:
        if self.waiting() <= self.zone.max_mqueue_len // 2:
            self.stalled = False

    # -- retained messages on their way -------------------------------------------------------------------------

    cdef int add_backlog(self, bytes topic_filter, tuple row) except -1:
        if self.backlog is None:
            self.backlog = {}
        self.backlog[topic_filter] = row
        return 0

    cdef int remove_backlog(self, bytes topic_filter) except -1:
        if self.backlog is not None:
            self.backlog.pop(topic_filter, None)
            self.backlog = self.backlog or None
        return 0

    cdef void end_backlog(self) noexcept:
        self.backlog = None

    cdef void note_sending(self, bint more) noexcept:
        """Whether a chore goes on with them."""
        self.sending = more

    # -- the window of QoS 1 and 2 messages on their way to the client ------------------------------------------

    cdef bint window_open(self) noexcept:
        return ((self.max_inflight == 0 or self.window.busy < self.max_inflight) and self.window.busy < PACKET_IDS
                and self.window.unsent == 0)

    cdef uint16_t next_pid(self) noexcept:
        """The packet id for the next message: the first behind the one given last that is not in use
        [MQTT-2.2.1-4]; 0 is never one [MQTT-2.2.1-3]. The window must be open."""
        cdef Window* w = &self.window
        cdef uint16_t pid = w.latest
        while True:
            pid = <uint16_t>(pid % PACKET_IDS + 1)
            if find_slot(w, pid) == NULL:
                return pid

    cdef Slot* window_add(self, uint16_t pid, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid, bint shared,
                          int64_t now) except NULL:
        """Takes a reference of `msg`, which is in flight as `pid` from now on: see `next_pid`."""
        cdef Window* w = &self.window
        cdef Slot* slot = append_slot(w, pid)
        slot.msg = msg_ref(msg)
        slot.sent = now
        slot.entry = 0
        slot.subid = subid
        slot.qos = qos
        slot.retain = retain
        slot.shared = shared
        slot.state = WAIT_PUBACK if qos == 1 else WAIT_PUBREC
        if w.busy == 1:
            self.progress = now
        return slot

    cdef int window_restore(self, Slot slot) except -1:
        """A message that was in flight before a restart, under its packet id; they come in the order in which they were
        first sent."""
        cdef Window* w = &self.window
        cdef Slot* place = append_slot(w, slot.pid)
        slot.before, slot.after = place.before, place.after
        place[0] = slot
        w.unsent += 1
        w.cursor = w.oldest
        return 0

    cdef Slot* window_find(self, uint16_t pid) noexcept:
        """The slot in use under `pid`, or NULL."""
        return find_slot(&self.window, pid)

    cdef Slot* oldest(self) noexcept:
        """Of the slots in use, the one sent first; NULL when there is none."""
        return find_slot(&self.window, self.window.oldest)

    cdef Slot* newest(self) noexcept:
        return find_slot(&self.window, self.window.newest)

    cdef Slot* following(self, Slot* slot) noexcept:
        """The slot that was sent after `slot`, or NULL."""
        return find_slot(&self.window, slot.after)

    cdef void window_done(self, Slot* slot) noexcept:
        """The exchange under this slot is over: its packet id is free again."""
        cdef Window* w = &self.window
        if slot.msg != NULL:
            msg_unref(slot.msg)
        w.unsent -= slot.sent == UNSENT
        remove_slot(w, slot)
        if w.busy == 0 and w.cap > 64:
            free(w.slots)
            w.slots = NULL
            w.cap = 0

    cdef void window_committed(self, Slot* slot, int64_t now) noexcept:
        """The message is sent now: what it waited for is on disk."""
        slot.state = WAIT_PUBACK if slot.qos == 1 else WAIT_PUBREC
        slot.sent = now

    cdef void window_received(self, Slot* slot, int64_t now) noexcept:
        """PUBREC came, and PUBREL is sent now: only the packet id is still in use."""
        if slot.msg != NULL:
            msg_unref(slot.msg)
            slot.msg = NULL
        slot.state = WAIT_PUBCOMP
        self.window.unsent -= slot.sent == UNSENT
        slot.sent = now

    cdef void window_unsent(self) noexcept:
        """A new connection: everything in flight is to be sent again."""
        cdef Window* w = &self.window
        cdef uint32_t i
        for i in range(w.cap):
            w.slots[i].sent = UNSENT
        w.unsent = w.busy
        w.cursor = w.oldest

    cdef Slot* window_next_unsent(self) noexcept:
        """Of the slots not sent on this connection the one sent first, which is sent now; NULL when there is none."""
        cdef Window* w = &self.window
        cdef Slot* slot = find_slot(w, w.cursor)
        while slot != NULL and slot.sent != UNSENT:
            slot = find_slot(w, slot.after)
        w.cursor = slot.pid if slot != NULL else 0
        w.unsent -= slot != NULL
        return slot

    def drop_window(self):
        """Forgets all messages in flight."""
        cdef Window* w = &self.window
        cdef uint32_t i
        for i in range(w.cap):
            if w.slots[i].pid and w.slots[i].msg != NULL:
                msg_unref(w.slots[i].msg)
        free(w.slots)
        memset(w, 0, sizeof(Window))

    # -- the queue of what waits for the client or for room in the window ---------------------------------------

    cdef Queue* queue_of(self, Msg* msg) except NULL:
        """The queue for the message's topic (`mqueue_priorities`), made when it is the first of its priority."""
        cdef uint32_t priority = 0, i = 0
        cdef Queue* grown
        if self.zone.mqueue_priorities is not None:
            priority = self.zone.mqueue_priorities.get(msg_topic(msg)[:msg.topic_len],
                                                       self.zone.mqueue_default_priority)
        while i < self.n_queues and self.queues[i].priority > priority:
            i += 1
        if i < self.n_queues and self.queues[i].priority == priority:
            return self.queues + i
        grown = <Queue*>realloc(self.queues, (self.n_queues + 1) * sizeof(Queue))
        if grown == NULL:
            raise MemoryError
        self.queues = grown
        memmove(grown + i + 1, grown + i, (self.n_queues - i) * sizeof(Queue))
        memset(grown + i, 0, sizeof(Queue))
        grown[i].priority = priority
        self.n_queues += 1
        return grown + i

    cdef int take_zone(self, Zone zone) except -1:
        """A connection through a listener of that zone. Where its `mqueue_priorities` are others, what waits is put
        into the queues that it has for them, in the order in which it came: without priorities there is one queue."""
        cdef Queue* before = self.queues
        cdef Queue* first
        cdef Queued item
        cdef uint32_t n = self.n_queues, left = self.queued, qos0 = self.queued_qos0, i
        cdef size_t size = self.queued_bytes
        cdef uint64_t counted = self.enqueue_msg
        cdef Zone former = self.zone
        self.zone = zone
        if left == 0 or zone is former or (zone.mqueue_priorities == former.mqueue_priorities
                                           and zone.mqueue_default_priority == former.mqueue_default_priority):
            return 0
        self.queues = NULL
        self.n_queues = self.queued = 0
        try:
            while self.queued < left:
                first = earliest_of(before, n)
                item = first.items[first.head]
                self.enqueue(item.msg, item.qos, item.retain, item.subid, item.shared, item.entry)
                msg_unref(item.msg)
                first.head = (first.head + 1) & (first.cap - 1)
                first.count -= 1
        finally:
            for i in range(n):
                free(before[i].items)
            free(before)
            self.queued_qos0, self.queued_bytes, self.enqueue_msg = qos0, size, counted
        return 0

    cdef int enqueue(self, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid, bint shared,
                     uint64_t entry) except -1:
        """Takes a reference."""
        cdef Queue* q = self.queue_of(msg)
        if q.count == q.cap:
            grow_queue(q)
        q.items[(q.head + q.count) & (q.cap - 1)] = Queued(msg_ref(msg), entry, subid, qos, retain, shared)
        q.count += 1
        self.queued += 1
        self.queued_bytes += footprint(msg)
        if qos == 0:
            self.queued_qos0 += 1
        self.enqueue_msg += 1
        return 0

    cdef bint drop_oldest(self, Msg* like, Queued* out) except? True:
        """The oldest message of the queue that `like` would go to, in `out` with its reference, when that queue is
        full; else False."""
        cdef Queue* q = self.queue_of(like)
        cdef uint32_t limit = self.zone.max_mqueue_len
        if limit == 0 or q.count == 0 or self.depth(q) < limit:
            return False
        out[0] = q.items[q.head]
        q.head = (q.head + 1) & (q.cap - 1)
        q.count -= 1
        self.queued -= 1
        self.queued_bytes -= footprint(out.msg)
        if out.qos == 0:
            self.queued_qos0 -= 1
        self.mqueue_dropped += 1
        return True

    cdef uint32_t waiting(self) noexcept:
        """Queued messages, here and in the store."""
        return self.queued + self.stored - self.stored_in_flight

    cdef uint32_t depth(self, Queue* q) noexcept:
        """Messages that count for `max_mqueue_len` beside one in this queue. Of those that only the store has nobody
        knows the priority: they are read soon."""
        return q.count if self.zone.mqueue_priorities is not None else q.count + self.stored - self.stored_in_flight

    cdef void store_as(self, uint64_t sid, uint32_t messages, uint32_t in_flight) noexcept:
        """It survives restarts. The store has so many of its messages, `in_flight` of which have a packet id."""
        self.sid = sid
        self.stored_in_flight = in_flight
        self.count_stored(<int32_t>messages)

    cdef void enqueue_in_store(self) noexcept:
        """A message that only the store has."""
        self.count_stored(1)
        self.stored_since += 1
        self.enqueue_msg += 1

    cdef void loaded_up_to(self, uint64_t entry) noexcept:
        """The messages up to that place are here, or have been."""
        self.loaded = entry

    def page_out(self):
        """Its client is gone: what is queued is left to the store, which is asked for it when the client is back. Not
        where there are priorities, which the store does not know."""
        cdef uint32_t queued = self.queued
        if self.sid == 0 or queued == 0 or self.paging or self.zone.mqueue_priorities is not None:
            return
        self.loaded = self.queues.items[self.queues.head].entry - 1
        self.free_queues()
        self.count_stored(<int32_t>queued)

    cdef void begin_page(self) noexcept:
        """The store is asked for more messages."""
        self.paging = True
        self.stored_since = 0

    cdef void end_page(self, uint32_t rows, bint last) noexcept:
        """They have come; `last`: the store has no others but those that came since it was asked."""
        self.paging = False
        self.stored_in_flight = 0
        self.count_stored(<int32_t>self.stored_since - <int32_t>self.stored if last else -<int32_t>rows)

    cdef void count_stored(self, int32_t by) noexcept:
        """As long as the store has messages, live QoS 0 goes behind them: they count as one that is queued."""
        cdef bint before = self.stored != 0
        self.stored += by
        self.queued_qos0 += (self.stored != 0) - before

    cdef bint full(self) noexcept:
        """Whether the queue of some priority is at `max_mqueue_len`."""
        cdef uint32_t limit = self.zone.max_mqueue_len, i
        if limit == 0 or self.waiting() < limit:
            return False
        if self.zone.mqueue_priorities is None:
            return True
        for i in range(self.n_queues):
            if self.queues[i].count >= limit:
                return True
        return False

    cdef bint dequeue(self, Queued* out) noexcept:
        """The next message in `out`, its reference now the caller's; False when there is none."""
        cdef Queue* q
        cdef uint32_t i
        for i in range(self.n_queues):
            q = self.queues + i
            if q.count:
                out[0] = q.items[q.head]
                q.head = (q.head + 1) & (q.cap - 1)
                q.count -= 1
                self.queued -= 1
                self.queued_bytes -= footprint(out.msg)
                if out.qos == 0:
                    self.queued_qos0 -= 1
                if self.queued == 0:
                    self.free_queues()
                return True
        return False

    def drop_queues(self):
        """Forgets all queued messages."""
        self.free_queues()
        self.stored = self.stored_in_flight = self.queued_qos0 = 0

    cdef void free_queues(self) noexcept:
        cdef Queue* q
        cdef uint32_t i, k
        for i in range(self.n_queues):
            q = self.queues + i
            for k in range(q.count):
                msg_unref(q.items[(q.head + k) & (q.cap - 1)].msg)
            free(q.items)
        free(self.queues)
        self.queues = NULL
        self.n_queues = self.queued = 0
        self.queued_qos0 = self.stored != 0
        self.queued_bytes = 0

    # -- packet ids of inbound QoS 2 messages ---------------------------------------------------------------------

    cdef bint is_awaiting(self, uint16_t pid) noexcept:
        return find_inbound(&self.awaiting, pid) != NULL

    cdef int await_release(self, uint16_t pid, uint32_t now) except -1:
        """Remembers `pid` until PUBREL [MQTT-4.3.3-10]; 0 when it is remembered already, else 1."""
        cdef Awaiting* a = &self.awaiting
        if find_inbound(a, pid) != NULL:
            return 0
        if (a.count + 1) * 4 > a.cap * 3:
            grow_awaiting(a)
        put_inbound(a, Inbound(pid, now))
        return 1

    cdef bint release(self, uint16_t pid) noexcept:
        """Forgets `pid`; False when it was not awaited."""
        cdef Awaiting* a = &self.awaiting
        cdef Inbound* found = find_inbound(a, pid)
        if found == NULL:
            return False
        remove_inbound(a, <uint32_t>(found - a.table))
        if a.count == 0 and a.cap > 64:
            free(a.table)
            memset(a, 0, sizeof(Awaiting))
        return True

    cdef uint32_t expire_awaiting(self, uint32_t before, Journal journal) except? 0xFFFFFFFF:
        """Forgets those that came before that second; how many they were."""
        cdef Awaiting* a = &self.awaiting
        cdef uint32_t i = 0, gone = 0
        while i < a.cap:
            if a.table[i].pid and a.table[i].at < before:
                if self.sid and journal is not None:
                    journal.released(self.sid, a.table[i].pid)
                remove_inbound(a, i)
                gone += 1
            else:
                i += 1
        return gone

    cdef void refresh_awaiting(self, uint32_t now) noexcept:
        """`await_rel_timeout` stands still while the client is away: it could not send PUBREL."""
        cdef uint32_t i
        for i in range(self.awaiting.cap):
            self.awaiting.table[i].at = now

    # -- what its client sees of a topic --------------------------------------------------------------------------

    cdef uint16_t hidden(self, Msg* msg) noexcept:
        """Bytes at the beginning of the topic that are the mountpoint, which the client does not know of."""
        cdef Py_ssize_t n
        if self.mount is None:
            return 0
        n = PyBytes_GET_SIZE(self.mount)
        if n < msg.topic_len and memcmp(msg_topic(msg), PyBytes_AS_STRING(self.mount), <size_t>n) == 0:
            return <uint16_t>n
        return 0

    # -- what an operator sees ------------------------------------------------------------------------------------

    @property
    def connected(self):
        return self.conn is not None

    @property
    def channel(self):
        return self.conn

    @property
    def inflight_len(self):
        return self.window.busy + self.stored_in_flight

    @property
    def mqueue_len(self):
        return self.waiting()

    @property
    def number(self):
        """In the message store; 0 when it is not stored."""
        return self.sid

    @property
    def is_stored(self):
        """Whether it survives a restart of the broker."""
        return self.sid != 0

    @property
    def mqueue_bytes(self):
        return self.queued_bytes

    @property
    def publishers_waiting(self):
        """How many have acknowledgements withheld until the queue has room."""
        return len(self.blocked_publishers) if self.blocked_publishers is not None else 0

    @property
    def max_mqueue(self):
        return self.zone.max_mqueue_len

    @property
    def awaiting_rel_len(self):
        return self.awaiting.count

    def __sizeof__(self):
        """Bytes of the session with its window, queues and packet ids. Messages are shared, and not counted."""
        cdef size_t size = object.__sizeof__(self)
        cdef uint32_t i
        for i in range(self.n_queues):
            size += sizeof(Queue) + self.queues[i].cap * sizeof(Queued)
        return size + self.window.cap * sizeof(Slot) + self.awaiting.cap * sizeof(Inbound)

    @property
    def max_awaiting_rel(self):
        return self.zone.max_awaiting_rel

    @property
    def max_subscriptions(self):
        return self.zone.max_subscriptions

    cpdef bint may_subscribe(self) noexcept:
        """Whether there is room for one more subscription, of this session and of its user."""
        return ((self.zone.max_subscriptions == 0 or self.subscription_count < self.zone.max_subscriptions)
                and (self.zone.max_subscriptions_per_user == 0 or self.user is None
                     or self.user.subscriptions < self.zone.max_subscriptions_per_user))

    def __repr__(self):
        return f"Session({self.client_id!r})"


cdef inline uint32_t home_of(uint16_t pid, uint32_t cap) noexcept nogil:
    """Where in a table of `cap` places the search for a packet id begins. Ids follow one another: scattered, they leave
    room between them, so that a removal need not look at all that were sent after."""
    return (pid * <uint32_t>2654435761) >> 8 & (cap - 1)


cdef Slot* find_slot(Window* w, uint16_t pid) noexcept nogil:
    cdef uint32_t i
    if w.busy == 0 or pid == 0:
        return NULL
    i = home_of(pid, w.cap)
    while w.slots[i].pid:
        if w.slots[i].pid == pid:
            return w.slots + i
        i = (i + 1) & (w.cap - 1)
    return NULL


cdef inline Slot* vacant_slot(Slot* slots, uint32_t cap, uint16_t pid) noexcept nogil:
    cdef uint32_t i = home_of(pid, cap)
    while slots[i].pid:
        i = (i + 1) & (cap - 1)
    return slots + i


cdef Slot* append_slot(Window* w, uint16_t pid) except NULL:
    """A slot for a packet id that is not in use, behind all others in the order of sending."""
    cdef Slot* slot
    if (w.busy + 1) * 4 > w.cap * 3:
        grow_window(w)
    slot = vacant_slot(w.slots, w.cap, pid)
    slot.pid = pid
    slot.before = w.newest
    slot.after = 0
    if w.newest:
        find_slot(w, w.newest).after = pid
    else:
        w.oldest = pid
    w.newest = w.latest = pid
    w.busy += 1
    return slot


cdef int grow_window(Window* w) except -1:
    cdef uint32_t cap = w.cap * 2 if w.cap else 8, i
    cdef Slot* slots = <Slot*>calloc(cap, sizeof(Slot))
    if slots == NULL:
        raise MemoryError
    for i in range(w.cap):
        if w.slots[i].pid:
            vacant_slot(slots, cap, w.slots[i].pid)[0] = w.slots[i]
    free(w.slots)
    w.slots = slots
    w.cap = cap
    return 0


cdef void remove_slot(Window* w, Slot* slot) noexcept nogil:
    """Unlinks the slot, empties it, and moves later slots of its run back, so that no search stops short of them."""
    cdef uint32_t mask = w.cap - 1, hole = <uint32_t>(slot - w.slots), i = hole
    if slot.before:
        find_slot(w, slot.before).after = slot.after
    else:
        w.oldest = slot.after
    if slot.after:
        find_slot(w, slot.after).before = slot.before
    else:
        w.newest = slot.before
    if w.cursor == slot.pid:
        w.cursor = slot.after
    while True:
        i = (i + 1) & mask
        if w.slots[i].pid == 0:
            break
        if ((i - home_of(w.slots[i].pid, w.cap)) & mask) >= ((i - hole) & mask):
            w.slots[hole] = w.slots[i]
            hole = i
    w.slots[hole].pid = 0
    w.busy -= 1


cdef inline size_t footprint(Msg* msg) noexcept nogil:
    return sizeof(Msg) + sizeof(Queued) + msg.topic_len + msg.props_len + msg.client_len + msg.payload_len


cdef Queue* earliest_of(Queue* queues, uint32_t n) noexcept nogil:
    """The queue whose first message came before those of the others: by its place in the store, else by its time."""
    cdef Queue* earliest = NULL
    cdef Queued* one
    cdef Queued* other
    cdef uint32_t i
    for i in range(n):
        if queues[i].count == 0:
            continue
        one = queues[i].items + queues[i].head
        if earliest != NULL:
            other = earliest.items + earliest.head
            if other.entry <= one.entry and (other.entry != one.entry or other.msg.arrived <= one.msg.arrived):
                continue
        earliest = queues + i
    return earliest


cdef int grow_queue(Queue* q) except -1:
    cdef uint32_t cap = q.cap * 2 if q.cap else 8, i
    cdef Queued* items = <Queued*>malloc(cap * sizeof(Queued))
    if items == NULL:
        raise MemoryError
    for i in range(q.count):
        items[i] = q.items[(q.head + i) & (q.cap - 1)]
    free(q.items)
    q.items = items
    q.cap = cap
    q.head = 0
    return 0


cdef Inbound* find_inbound(Awaiting* a, uint16_t pid) noexcept nogil:
    cdef uint32_t i
    if a.count == 0:
        return NULL
    i = home_of(pid, a.cap)
    while a.table[i].pid:
        if a.table[i].pid == pid:
            return a.table + i
        i = (i + 1) & (a.cap - 1)
    return NULL


cdef void put_inbound(Awaiting* a, Inbound entry) noexcept nogil:
    cdef uint32_t i = home_of(entry.pid, a.cap)
    while a.table[i].pid:
        i = (i + 1) & (a.cap - 1)
    a.table[i] = entry
    a.count += 1


cdef int grow_awaiting(Awaiting* a) except -1:
    cdef Awaiting grown
    cdef uint32_t i
    grown.cap = a.cap * 2 if a.cap else 8
    grown.count = 0
    grown.table = <Inbound*>calloc(grown.cap, sizeof(Inbound))
    if grown.table == NULL:
        raise MemoryError
    for i in range(a.cap):
        if a.table[i].pid:
            put_inbound(&grown, a.table[i])
    free(a.table)
    a[0] = grown
    return 0


cdef void remove_inbound(Awaiting* a, uint32_t hole) noexcept nogil:
    """Empties a place and moves later entries of its run back, so that no search stops short of them."""
    cdef uint32_t mask = a.cap - 1, i = hole, wanted
    while True:
        i = (i + 1) & mask
        if a.table[i].pid == 0:
            break
        wanted = home_of(a.table[i].pid, a.cap)
        if ((i - wanted) & mask) >= ((i - hole) & mask):
            a.table[hole] = a.table[i]
            hole = i
    a.table[hole].pid = 0
    a.count -= 1
