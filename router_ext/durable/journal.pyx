"""Records are little-endian and packed:

    BODY        u8 1, u64 number, u32 length, body: i64 arrived (wall ms), u32 expiry, u8 qos, u8 flags, u16 topic,
                u16 client, u32 properties, u32 payload (lengths), then those four
    ENQUEUE     u8 2, u64 sid, u64 entry, u64 number, u32 subid, u16 pid, u8 qos, u8 flags (1: RETAIN, 2: shared)
    SENT        u8 3, u64 sid, u64 entry, u16 pid
    RECEIVED    u8 4, u64 sid, u64 entry, u64 number
    REMOVE      u8 5, u64 sid, u64 entry, u64 number (0: its body is gone already)
    DROP_OLDEST u8 6, u64 sid, u32 count
    PUT         u8 7, u8 table, u64 sid, u32 key, u32 value (lengths), then both
    DELETE      u8 8, u8 table, u64 sid, u32 key (length), then it
    END         u8 9, u64 sid

They are collected in batches, one for each turn of the loop. The store answers with the number of the last batch that
is on disk; what waits for a batch goes out then. Nothing here blocks: what the socket does not take stays in the
buffer, and the store's next answer is the occasion to go on.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset

from router_ext.message.message cimport msg_client, msg_new, msg_payload

cdef extern from "<sys/socket.h>" nogil:
    ssize_t recv(int fd, void* buf, size_t n, int flags)
    ssize_t send(int fd, const void* buf, size_t n, int flags)
    enum: MSG_DONTWAIT
    enum: MSG_NOSIGNAL

cdef enum:
    BODY_HEAD = 26
    FAR_BEHIND = 67108864   # bytes the store has not taken: publishers wait then, and what is promised nothing is dropped
    KEPT = 4194304          # a buffer larger than this is given back once it is empty

TABLES = ("session", "subscription", "awaiting", "will", "retained", "delayed")
"""By their number in a record."""


cdef size_t body_size(Msg* msg) noexcept nogil:
    return BODY_HEAD + msg.topic_len + <size_t>msg.props_len + msg.payload_len + msg.client_len


cdef size_t put_body(uint8_t* dst, Msg* msg, int64_t wall_offset) noexcept nogil:
    cdef int64_t arrived = msg.arrived + wall_offset
    cdef size_t before = msg.topic_len + <size_t>msg.props_len
    memcpy(dst, &arrived, 8)
    memcpy(dst + 8, &msg.expiry, 4)
    dst[12] = msg.qos
    dst[13] = msg.flags
    memcpy(dst + 14, &msg.topic_len, 2)
    memcpy(dst + 16, &msg.client_len, 2)
    memcpy(dst + 18, &msg.props_len, 4)
    memcpy(dst + 22, &msg.payload_len, 4)
    dst += BODY_HEAD
    memcpy(dst, msg.data, before)
    memcpy(dst + before, msg_payload(msg), msg.payload_len)
    memcpy(dst + before + msg.payload_len, msg_client(msg), msg.client_len)
    return body_size(msg)


cdef Msg* get_body(const uint8_t* p, size_t n, int64_t wall_offset) noexcept nogil:
    """The message in a body; NULL when the lengths in it do not fit, or memory is out."""
    cdef int64_t arrived
    cdef uint32_t expiry, props, payload
    cdef uint16_t topic, client
    if n < BODY_HEAD:
        return NULL
    memcpy(&arrived, p, 8)
    memcpy(&expiry, p + 8, 4)
    memcpy(&topic, p + 14, 2)
    memcpy(&client, p + 16, 2)
    memcpy(&props, p + 18, 4)
    memcpy(&payload, p + 22, 4)
    if <size_t>BODY_HEAD + topic + <size_t>props + <size_t>payload + client != n:
        return NULL
    p += BODY_HEAD
    return msg_new(p, topic, p + topic, props, p + topic + props, payload, p + topic + props + payload, client,
                   p[12 - BODY_HEAD], p[13 - BODY_HEAD], expiry, arrived - wall_offset)


cdef class Journal:
    """`Journal(fd, waits)`: `fd` is a connected stream socket to the store process, owned by the caller."""

    def __init__(self, int fd, bint waits=True):
        self.fd = fd
        self.waits = waits
        self.batch = 1
        self.next_sid = self.next_entry = self.next_number = 1
        self.waiting = []
        self.paused = []
        self.calls = []
        self.settling = []
        self.loading = {}
        self.offsets = []

    def __dealloc__(self):
        free(self.buf)
        free(self.inbox)

    # -- wall time -----------------------------------------------------------------------------------------------

    def set_wall_offset(self, int64_t offset):
        """What is stored from now on has the loop's time and `offset` ms as its wall time. What was stored before is
        read back with the offset of then: a clock that is set makes no message older or younger. What an earlier
        process stored is read with the first offset."""
        self.wall_offset = offset
        self.offsets.append((self.next_number if self.offsets else 0, offset))

    def arrival(self, uint64_t number, int64_t wall):
        """When message `number` came, in monotonic ms, from the wall time in ms that it is stored with."""
        return wall - self.offset_of(number)

    cdef int64_t offset_of(self, uint64_t number) except? 0:
        for first, offset in reversed(self.offsets):
            if number >= <uint64_t>first:
                return offset
        return self.wall_offset

    # -- what waits ---------------------------------------------------------------------------------------------

    cdef uint64_t mark(self) noexcept:
        """The batch to wait for so that everything appended until now is on disk."""
        return self.batch if self.used > self.start else self.batch - 1

    cdef bint is_committed(self, uint64_t batch) noexcept:
        return batch <= self.committed or not self.waits

    cdef bint behind(self) noexcept:
        return self.used - self.sent > FAR_BEHIND

    cdef bint takes_more(self) noexcept:
        return not self.short and not self.behind()

    cdef int wait(self, Connection c) except -1:
        """`c.on_commit()` is called after each commit until it finds nothing to wait for."""
        if not c.awaits_commit:
            c.awaits_commit = True
            self.waiting.append(c)
        return 0

    cdef int pause(self, Connection c) except -1:
        self.paused.append(c)
        return 0

    def when_committed(self, call):
        """Calls it once everything appended until now is on disk; at once if it is."""
        cdef uint64_t mark = self.mark()
        if self.is_committed(mark):
            call()
        else:
            self.calls.append((mark, call))

    @property
    def latest(self):
        """The batch to wait for so that everything appended until now is on disk."""
        return self.mark()

    @property
    def pending(self):
        """Bytes the store has not taken yet."""
        return self.used - self.sent

    # -- records ------------------------------------------------------------------------------------------------

    cdef uint8_t* room(self, size_t n) except NULL:
        """`n` bytes in the open batch, already counted as used."""
        cdef size_t wanted = n + (FRAME_HEAD if self.used == self.start else 0)
        cdef size_t cap
        cdef uint8_t* grown
        if self.used + wanted > self.cap:
            cap = max(2 * self.cap, self.used + wanted, <size_t>65536)
            grown = <uint8_t*>realloc(self.buf, cap)
            if grown == NULL:
                raise MemoryError
            self.buf = grown
            self.cap = cap
        self.used += wanted
        return self.buf + self.used - n

    cdef int number_message(self, Msg* msg) except -1:
        """Appends the body of a message that the store does not have, and gives it a number."""
        cdef size_t n = body_size(msg)
        cdef uint32_t length = <uint32_t>n
        cdef uint8_t* p
        if msg.holders:
            return 0
        p = self.room(13 + n)
        msg.number = self.next_number
        self.next_number += 1
        p[0] = REC_BODY
        memcpy(p + 1, &msg.number, 8)
        memcpy(p + 9, &length, 4)
        put_body(p + 13, msg, self.wall_offset)
        return 0

    cdef uint64_t enqueue(self, uint64_t sid, Msg* msg, uint8_t qos, uint8_t flags, uint32_t subid,
                          uint16_t pid) except? 0:
        """The message has a place in the session; returns its number, which rises with every place."""
        cdef uint64_t entry = self.next_entry
        cdef uint8_t* p
        self.number_message(msg)
        msg.holders += 1
        self.next_entry += 1
        p = self.room(33)
        p[0] = REC_ENQUEUE
        memcpy(p + 1, &sid, 8)
        memcpy(p + 9, &entry, 8)
        memcpy(p + 17, &msg.number, 8)
        memcpy(p + 25, &subid, 4)
        memcpy(p + 29, &pid, 2)
        p[31] = qos
        p[32] = flags
        if qos:
            self.awaited += 1
        return entry

    cdef int send_began(self, uint64_t sid, uint64_t entry, uint16_t pid) except -1:
        cdef uint8_t* p = self.room(19)
        p[0] = REC_SENT
        memcpy(p + 1, &sid, 8)
        memcpy(p + 9, &entry, 8)
        memcpy(p + 17, &pid, 2)
        return 0

    cdef int received(self, uint64_t sid, uint64_t entry, Msg* msg) except -1:
        """PUBREC came: the body is no longer needed here."""
        return self.leave(REC_RECEIVED, sid, entry, msg)

    cdef int remove(self, uint64_t sid, uint64_t entry, Msg* msg) except -1:
        """The place is empty; `msg` NULL when its body was left before."""
        return self.leave(REC_REMOVE, sid, entry, msg)

    cdef int leave(self, uint8_t record, uint64_t sid, uint64_t entry, Msg* msg) except -1:
        cdef uint64_t number = msg.number if msg != NULL else 0
        cdef uint8_t* p = self.room(25)
        p[0] = record
        memcpy(p + 1, &sid, 8)
        memcpy(p + 9, &entry, 8)
        memcpy(p + 17, &number, 8)
        if msg != NULL:
            msg.holders -= 1
        return 0

    cdef int drop_oldest(self, uint64_t sid, uint32_t count) except -1:
        cdef uint8_t* p = self.room(13)
        p[0] = REC_DROP_OLDEST
        memcpy(p + 1, &sid, 8)
        memcpy(p + 9, &count, 4)
        return 0

    cdef int await_release(self, uint64_t sid, uint16_t pid) except -1:
        self.awaited += 1
        return self.put_fact(FACT_AWAITING, sid, <const uint8_t*>&pid, 2, NULL, 0)

    cdef int released(self, uint64_t sid, uint16_t pid) except -1:
        return self.delete_fact(FACT_AWAITING, sid, <const uint8_t*>&pid, 2)

    cdef int put_message(self, uint8_t table, const uint8_t* key, uint32_t key_len, Msg* msg) except -1:
        """A message as a fact of its own: retained under its topic, delayed under its number."""
        cdef size_t n = body_size(msg)
        cdef uint8_t* p = self.put_head(table, 0, key, key_len, <uint32_t>n)
        put_body(p, msg, self.wall_offset)
        self.awaited += 1
        return 0

    cdef int put_fact(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len,
                      const uint8_t* value, uint32_t value_len) except -1:
        cdef uint8_t* p = self.put_head(table, sid, key, key_len, value_len)
        if value_len:
            memcpy(p, value, value_len)
        return 0

    cdef uint8_t* put_head(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len,
                           uint32_t value_len) except NULL:
        """A PUT but for its value; returns where that goes."""
        cdef uint8_t* p = self.room(18 + <size_t>key_len + value_len)
        p[0] = REC_PUT
        p[1] = table
        memcpy(p + 2, &sid, 8)
        memcpy(p + 10, &key_len, 4)
        memcpy(p + 14, &value_len, 4)
        memcpy(p + 18, key, key_len)
        return p + 18 + key_len

    cdef int delete_fact(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len) except -1:
        cdef uint8_t* p = self.room(14 + <size_t>key_len)
        self.awaited += 1
        p[0] = REC_DELETE
        p[1] = table
        memcpy(p + 2, &sid, 8)
        memcpy(p + 10, &key_len, 4)
        memcpy(p + 14, key, key_len)
        return 0

    cdef int end_session(self, uint64_t sid) except -1:
        cdef uint8_t* p = self.room(9)
        p[0] = REC_END
        memcpy(p + 1, &sid, 8)
        return 0

    # -- records of the broker ------------------------------------------------------------------------------------

    def new_sid(self) -> int:
        self.next_sid += 1
        return self.next_sid - 1

    def put(self, int table, uint64_t sid, bytes key not None, bytes value not None):
        """A row of a small table, new or changed."""
        self.awaited += 1
        self.put_fact(<uint8_t>table, sid, key, <uint32_t>len(key), value, <uint32_t>len(value))

    def delete(self, int table, uint64_t sid, bytes key not None):
        self.delete_fact(<uint8_t>table, sid, key, <uint32_t>len(key))

    # -- the socket ---------------------------------------------------------------------------------------------------

    cdef int load(self, uint64_t sid, uint64_t after, uint32_t limit, bint in_flight) except -1:
        """Asks for messages queued behind place `after`, and with `in_flight` for those that have a packet id, in the
        order of their places. What was appended before is seen."""
        cdef uint8_t* p
        cdef uint32_t n = 16
        self.close_batch()
        p = self.room(16) - FRAME_HEAD
        memcpy(p, &n, 4)
        p[4] = FRAME_LOAD
        p[5] = in_flight
        memcpy(p + 8, &sid, 8)
        memcpy(p + 16, &after, 8)
        memcpy(p + 24, &limit, 4)
        self.start = self.used
        return 0

    def settle(self, call):
        """Calls it once everything appended until now is in the rows of the store."""
        cdef uint8_t* p
        self.close_batch()
        p = self.room(0) - FRAME_HEAD
        memset(p, 0, FRAME_HEAD)
        p[4] = FRAME_SETTLE
        self.start = self.used
        self.settling.append(call)

    cdef int close_batch(self) except -1:
        cdef uint8_t* p = self.buf + self.start
        cdef uint32_t n
        if self.used == self.start:
            return 0
        n = <uint32_t>(self.used - self.start - FRAME_HEAD)
        memcpy(p, &n, 4)
        p[4] = FRAME_BATCH
        memcpy(p + 8, &self.batch, 8)
        self.batch += 1
        self.start = self.used
        return 0

    cdef int flush(self) except -1:
        """Ends the turn's batch and sends what the socket takes."""
        cdef ssize_t n
        self.close_batch()
        while self.sent < self.used:
            n = send(self.fd, self.buf + self.sent, self.used - self.sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            if n < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.lost()
                break
            self.sent += <size_t>n
        if self.sent == self.used:
            self.sent = self.start = self.used = 0
            if self.cap > KEPT:
                free(self.buf)
                self.buf = NULL
                self.cap = 0
        elif self.sent > KEPT:
            memmove(self.buf, self.buf + self.sent, self.used - self.sent)
            self.used -= self.sent
            self.start = self.used
            self.sent = 0
        return 0

    def flush_now(self):
        self.flush()

    cdef int lost(self) except -1:
        if self.policy is not None:
            self.policy.store_lost()
        return 0

    cdef bint next_reply(self, Reply* reply) except? True:
        """The next whole answer, valid until the next call; False when there is none."""
        cdef uint32_t n
        while True:
            if self.inbox_len >= FRAME_HEAD:
                memcpy(&n, self.inbox + self.inbox_head, 4)
                if self.inbox_len >= FRAME_HEAD + <size_t>n:
                    break
            if not self.receive():
                return False
        reply.kind = self.inbox[self.inbox_head + 4]
        memcpy(&reply.number, self.inbox + self.inbox_head + 8, 8)
        reply.data = self.inbox + self.inbox_head + FRAME_HEAD
        reply.n = n
        self.inbox_head += FRAME_HEAD + n
        self.inbox_len -= FRAME_HEAD + n
        return True

    cdef bint receive(self) except? True:
        """More bytes from the store; False when none are there."""
        cdef ssize_t n
        cdef uint8_t* grown
        if self.inbox_head:
            memmove(self.inbox, self.inbox + self.inbox_head, self.inbox_len)
            self.inbox_head = 0
        if self.inbox_cap - self.inbox_len < 65536:
            grown = <uint8_t*>realloc(self.inbox, self.inbox_len + 262144)
            if grown == NULL:
                raise MemoryError
            self.inbox = grown
            self.inbox_cap = self.inbox_len + 262144
        n = recv(self.fd, self.inbox + self.inbox_len, self.inbox_cap - self.inbox_len, MSG_DONTWAIT)
        if n <= 0:
            if n == 0 or (errno != EAGAIN and errno != EINTR):
                self.lost()
            return False
        self.inbox_len += <size_t>n
        return True

    cdef int release(self) except -1:
        """After a commit, and when the disk is full or has room again."""
        cdef list waiting = self.waiting
        cdef list calls
        cdef Connection c
        if waiting:
            self.waiting = []
            for c in waiting:
                c.awaits_commit = False
                c.on_commit()
        if self.paused and self.takes_more():
            waiting = self.paused
            self.paused = []
            for c in waiting:
                c.on_commit()
        if self.calls:
            calls = self.calls
            self.calls = []
            for mark, call in calls:
                if self.is_committed(mark):
                    call()
                else:
                    self.calls.append((mark, call))
        return 0

    def __repr__(self):
        return f"Journal(batch {self.batch}, committed {self.committed})"
