"""The journal: what must survive a restart, as records in the order in which it happened, on their way to the store.

It owns the buffer of records and what the store has sent; the descriptor is its caller's. Records are collected in an
open batch, one a turn; `mark` is the batch that has to be on disk before an answer to what was appended until now may
go out, and `committed` the last that is. Batches reach the disk in their order, so one number says what is there. A
connection that waits is on `waiting` exactly while `awaits_commit`.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.net.connection cimport Connection
from router_ext.message.message cimport Msg

cdef enum Record:           # first byte of a record; the layouts are in journal.pyx
    REC_BODY = 1            # a message, once, under its number
    REC_ENQUEUE             # its place in a session's queue, or in its window when there is a packet id
    REC_SENT                # a queued message has a packet id now
    REC_RECEIVED            # PUBREC: only the packet id is still in use
    REC_REMOVE              # acknowledged, expired or dropped
    REC_DROP_OLDEST         # queued messages that only the store has
    REC_PUT                 # a fact: a row of one of the small tables
    REC_DELETE
    REC_END                 # a session with everything in it

cdef enum FrameKind:        # on the socket, both ways
    FRAME_BATCH = 1         # records; answered by FRAME_COMMITTED
    FRAME_LOAD              # asks for the next messages of a session
    FRAME_SETTLE            # asks for rows of everything so far, and to be told: FRAME_SETTLED
    FRAME_COMMITTED = 16    # everything up to that batch is on disk
    FRAME_PAGE
    FRAME_FULL              # the disk takes nothing; the text says why
    FRAME_ROOM              # it does again, for everybody
    FRAME_SETTLED = 22
    FRAME_SHORT             # what is left of the disk is for those who fetch messages; the text says how much

cdef enum:
    FRAME_HEAD = 16         # u32 length of what follows the head, u8 kind, 3 bytes unused, u64 number

cdef enum Fact:             # the small tables
    FACT_SESSION = 0
    FACT_SUBSCRIPTION
    FACT_AWAITING           # inbound QoS 2 packet ids
    FACT_WILL
    FACT_RETAINED
    FACT_DELAYED

cdef struct Reply:
    uint8_t kind
    uint64_t number
    const uint8_t* data
    size_t n

cdef class Journal:
    cdef int fd
    cdef readonly bint waits         # acknowledgements wait for the commit
    cdef readonly bint full          # the store's disk takes nothing
    cdef readonly bint short         # it takes nothing from publishers
    cdef readonly uint64_t committed  # every batch up to this one is on disk
    cdef readonly uint64_t batch     # the open batch: records go into it
    cdef readonly uint64_t awaited   # rises with each record that somebody waits for
    cdef readonly int64_t wall_offset  # ms to add to the loop's time for wall time
    cdef list offsets                # (the first number of a message that was stored with it, a wall_offset)
    cdef public uint64_t next_sid
    cdef public uint64_t next_entry
    cdef public uint64_t next_number
    cdef public object policy        # emqx_mgmt.broker.policy.JournalPolicy
    cdef uint8_t* buf                # frames not sent yet; the open batch is the last
    cdef size_t sent
    cdef size_t start                # of the open batch's head
    cdef size_t used
    cdef size_t cap
    cdef uint8_t* inbox
    cdef size_t inbox_head
    cdef size_t inbox_len
    cdef size_t inbox_cap
    cdef list waiting                # connections with output that waits for a commit
    cdef list paused                 # connections not read until the store takes more
    cdef list calls                  # (batch, callable)
    cdef readonly list settling      # callables for each FRAME_SETTLED to come
    cdef readonly dict loading       # sid -> session that waits for a page

    cdef uint8_t* room(self, size_t n) except NULL
    cdef int64_t offset_of(self, uint64_t number) except? 0
    cdef uint64_t mark(self) noexcept
    cdef bint is_committed(self, uint64_t batch) noexcept
    cdef bint behind(self) noexcept
    cdef bint takes_more(self) noexcept
    cdef int wait(self, Connection c) except -1
    cdef int pause(self, Connection c) except -1
    cdef int number_message(self, Msg* msg) except -1
    cdef uint64_t enqueue(self, uint64_t sid, Msg* msg, uint8_t qos, uint8_t flags, uint32_t subid,
                          uint16_t pid) except? 0
    cdef int send_began(self, uint64_t sid, uint64_t entry, uint16_t pid) except -1
    cdef int received(self, uint64_t sid, uint64_t entry, Msg* msg) except -1
    cdef int remove(self, uint64_t sid, uint64_t entry, Msg* msg) except -1
    cdef int leave(self, uint8_t record, uint64_t sid, uint64_t entry, Msg* msg) except -1
    cdef int drop_oldest(self, uint64_t sid, uint32_t count) except -1
    cdef int await_release(self, uint64_t sid, uint16_t pid) except -1
    cdef int released(self, uint64_t sid, uint16_t pid) except -1
    cdef int put_message(self, uint8_t table, const uint8_t* key, uint32_t key_len, Msg* msg) except -1
    cdef int put_fact(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len,
                      const uint8_t* value, uint32_t value_len) except -1
    cdef uint8_t* put_head(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len,
                           uint32_t value_len) except NULL
    cdef int delete_fact(self, uint8_t table, uint64_t sid, const uint8_t* key, uint32_t key_len) except -1
    cdef int end_session(self, uint64_t sid) except -1
    cdef int load(self, uint64_t sid, uint64_t after, uint32_t limit, bint in_flight) except -1
    cdef int close_batch(self) except -1
    cdef int flush(self) except -1
    cdef int lost(self) except -1
    cdef bint receive(self) except? True
    cdef bint next_reply(self, Reply* reply) except? True
    cdef int release(self) except -1

cdef size_t body_size(Msg* msg) noexcept nogil
cdef size_t put_body(uint8_t* dst, Msg* msg, int64_t wall_offset) noexcept nogil
cdef Msg* get_body(const uint8_t* p, size_t n, int64_t wall_offset) noexcept nogil
