"""A session: what the broker keeps for a client id, connected or not (MQTT 5 section 4.1).

The in-flight window is a hash table by packet id whose slots are linked in the order in which they were first sent.
An acknowledgement finds its message by the packet id, in whatever order acknowledgements come; after a reconnect the
links give the order in which messages are sent again [MQTT-4.6.0-1]. Links are packet ids, not pointers: a slot moves
when the table grows and when another slot is removed, so that a `Slot*` is valid until the next of these only.

It owns its messages: window and queues have one reference each. Its fields are changed by its own methods only, from
`bind` (a connection has it) to `unbind`, `end` and `leave_store`. Invariants: while anything is queued or in the store,
QoS 1 and 2 go behind it; what only the store has comes behind what is queued here; `window.unsent` counts the slots
whose `sent` is -1.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.message.topic_alias cimport AliasTable
from router_ext.net.connection cimport Connection
from router_ext.memory.flag cimport flag
from router_ext.durable.journal cimport Journal
from router_ext.message.message cimport Msg
from router_ext.routing.router cimport Subscriber
from router_ext.session.zone cimport Zone

cdef enum SlotState:
    WAIT_PUBACK = 1
    WAIT_PUBREC
    WAIT_PUBCOMP
    WAIT_STORE          # not sent before its packet id, or that of a message before it, is on disk

cdef struct Slot:
    Msg* msg            # NULL once PUBREC arrived: only the packet id is still in use
    int64_t sent        # ms, when it was last sent; -1: not yet on this connection
    uint64_t entry      # its place in the message store, 0: none
    uint32_t subid
    uint8_t state
    uint8_t qos
    uint8_t retain
    uint8_t shared      # it came through a shared subscription
    uint16_t pid        # packet id; 0: the slot is free
    uint16_t before     # packet id of the message sent before it and of the one
    uint16_t after      # sent after it, 0: none

cdef struct Window:
    Slot* slots         # open addressing by packet id, capacity a power of two
    uint32_t cap
    uint32_t busy       # slots in use
    uint32_t unsent     # of those, not yet sent on this connection
    uint16_t oldest     # packet ids of the message sent first and of the one
    uint16_t newest     # sent last, 0: none
    uint16_t cursor     # packet id from which on to look for unsent ones, 0: none is left
    uint16_t latest     # the packet id given last, 0: none was

cdef struct Queued:
    Msg* msg
    uint64_t entry      # its place in the message store, 0: none
    uint32_t subid
    uint8_t qos
    uint8_t retain
    uint8_t shared

cdef struct Queue:
    Queued* items       # ring, capacity a power of two
    uint32_t cap
    uint32_t head
    uint32_t count
    uint32_t priority

cdef struct Inbound:
    uint16_t pid        # 0: free
    uint32_t at         # seconds, when its PUBLISH came

cdef struct Awaiting:
    Inbound* table      # packet ids of QoS 2 messages not yet released; open addressing
    uint32_t cap
    uint32_t count

@cython.final
cdef class Session(Subscriber):
    # Ordered so that no room is lost between fields.
    cdef readonly str client_id
    cdef readonly str username
    cdef readonly Zone zone          # of the listener of the current or last connection
    cdef Connection conn             # None while offline
    cdef readonly flag clean_start
    cdef uint8_t version             # of the current or last connection
    cdef flag direct                 # no limit, no mountpoint, no trace: packets may reach it as they came
    cdef flag traced                 # what becomes of messages for it is told
    cdef flag stalled                # it acknowledged nothing while publishers waited; see Engine.check_stalled_queue
    cdef flag paging                 # a page is on its way from the message store
    cdef flag sending                # retained messages, piece by piece
    cdef uint16_t n_queues
    cdef readonly uint32_t expiry_interval   # seconds
    cdef uint32_t peer_max_packet    # 0: no limit
    cdef readonly uint32_t max_inflight
    cdef uint32_t queued
    cdef readonly double created_at    # unix seconds
    cdef readonly object will        # what to publish if the connection ends badly; kept by the broker
    cdef readonly uint64_t hash      # of the client id, for shared subscriptions
    cdef bytes mount                 # prefix that its client does not see, or None
    cdef AliasTable aliases          # of this connection, None: its client takes none
    cdef int64_t progress            # ms, when an acknowledgement last came, or the window began to fill
    cdef readonly uint64_t deliver_msg
    cdef readonly uint64_t enqueue_msg
    cdef readonly uint64_t mqueue_dropped
    cdef Window window
    cdef Queue* queues               # by falling priority
    cdef uint32_t queued_qos0
    cdef uint32_t stored             # messages that only the store has; they come behind those queued here
    cdef uint32_t stored_in_flight   # of those, how many have a packet id
    cdef uint32_t stored_since       # of those, how many came after the page was asked for that is on its way
    cdef uint64_t sid                # in the message store; 0: nothing of this session is stored
    cdef uint64_t loaded             # the last place read from the store
    cdef size_t queued_bytes
    cdef int64_t blocked_since         # ms, since when publishers wait
    cdef list blocked_publishers       # channels whose acknowledgements wait for room in the queue, or None
    cdef Awaiting awaiting
    cdef list shared_subscriptions                  # it has ended: (filter, group) of its shared subscriptions; or None
    cdef dict backlog                # filter -> (RetainedCursor, options, identifier) of retained messages not sent yet; or None

    cdef int bind(self, Connection conn, Zone zone, uint8_t version, uint32_t max_packet, uint16_t receive_max,
                  AliasTable aliases, bytes mount, bint traced, int64_t now) except -1
    cdef void unbind(self) noexcept
    cdef void end(self, list shared_subscriptions) noexcept
    cdef uint64_t leave_store(self) noexcept
    cdef void trace(self, bint on) noexcept
    cdef void count_delivered(self, uint32_t messages) noexcept
    cdef void count_dropped(self, uint32_t messages) noexcept
    cdef void note_progress(self, int64_t now) noexcept
    cdef int block_publisher(self, Connection publisher, int64_t now) except -1
    cdef list release_publishers(self)
    cdef void stall(self) noexcept
    cdef void catch_up(self) noexcept
    cdef int add_backlog(self, bytes topic_filter, tuple row) except -1
    cdef int remove_backlog(self, bytes topic_filter) except -1
    cdef void end_backlog(self) noexcept
    cdef void note_sending(self, bint more) noexcept
    cdef bint window_open(self) noexcept
    cdef Slot* window_add(self, uint16_t pid, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid, bint shared,
                          int64_t now) except NULL
    cdef uint16_t next_pid(self) noexcept
    cdef Slot* oldest(self) noexcept
    cdef Slot* newest(self) noexcept
    cdef Slot* following(self, Slot* slot) noexcept
    cdef int window_restore(self, Slot slot) except -1
    cdef Slot* window_find(self, uint16_t pid) noexcept
    cdef void window_done(self, Slot* slot) noexcept
    cdef void window_committed(self, Slot* slot, int64_t now) noexcept
    cdef void window_received(self, Slot* slot, int64_t now) noexcept
    cdef void window_unsent(self) noexcept
    cdef Slot* window_next_unsent(self) noexcept
    cdef uint16_t hidden(self, Msg* msg) noexcept
    cdef Queue* queue_of(self, Msg* msg) except NULL
    cdef int take_zone(self, Zone zone) except -1
    cpdef bint may_subscribe(self) noexcept
    cdef int enqueue(self, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid, bint shared,
                     uint64_t entry) except -1
    cdef bint drop_oldest(self, Msg* like, Queued* out) except? True
    cdef uint32_t waiting(self) noexcept
    cdef uint32_t depth(self, Queue* q) noexcept
    cdef void store_as(self, uint64_t sid, uint32_t messages, uint32_t in_flight) noexcept
    cdef void count_stored(self, int32_t by) noexcept
    cdef void enqueue_in_store(self) noexcept
    cdef void loaded_up_to(self, uint64_t entry) noexcept
    cdef void begin_page(self) noexcept
    cdef void end_page(self, uint32_t rows, bint last) noexcept
    cdef bint full(self) noexcept
    cdef bint dequeue(self, Queued* out) noexcept
    cdef void free_queues(self) noexcept
    cdef int await_release(self, uint16_t pid, uint32_t now) except -1
    cdef bint release(self, uint16_t pid) noexcept
    cdef bint is_awaiting(self, uint16_t pid) noexcept
    cdef uint32_t expire_awaiting(self, uint32_t before, Journal journal) except? 0xFFFFFFFF
    cdef void refresh_awaiting(self, uint32_t now) noexcept
