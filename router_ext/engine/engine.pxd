"""The engine: what all connections of a node share, and the way of a message from its publisher to its subscribers.

The way is `route`, then for each recipient `deliver_to_session`, which ends in the outbox (`write_qos0`, `send_msg`),
in the session's window (`send_in_window`) or in its queue (`store`). The engine owns sessions and channels; a Routing
describes one call of `route`, on the stack of its caller. Invariants: the table of subscriptions does not change
while a message is delivered, and no socket is closed then; what handlers are to hear is reported at the end of the
turn.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.routing.match_cache cimport Match
from router_ext.routing.chores cimport Chores
from router_ext.net.connection cimport Connection, Egress
from router_ext.message.publish_frames cimport Delivery
from router_ext.message.encoded_publish cimport ENCODINGS, EncodedPublish
from router_ext.durable.journal cimport Journal
from router_ext.message.message cimport Msg
from router_ext.message.outbox cimport LARGE_PAYLOAD
from router_ext.net.metrics cimport Metrics
from router_ext.message.retained_store cimport RetainedStore
from router_ext.routing.router cimport Group, Recipient, Router
from router_ext.session.session cimport Queued, Session, Slot
from router_ext.routing.watch cimport Watches

cdef struct Routing:            # one call of `route`: on its caller's stack, so that calls within calls do not meet
    # The pointers are borrowed: what a delivery does lets go of no session and no connection.
    void* publisher             # Session; NULL: no client is the publisher
    void* publisher_conn        # its Connection, never paused for itself; or NULL
    void* pause_for             # came of it: a Connection that is blocked and whose outbox is over `pause_at`; or NULL
    void* full_session          # came of it: a Session whose queue is full while it keeps up; or NULL
    void* parked                # came of it: the Postponed that waits for the recipients; or NULL
    uint64_t payload_bytes      # of the run, while something watches it
    uint32_t each_from          # bytes of payload from which on QoS 0 goes out message by message
    bint shared                 # the copy is for a member of a shared group
    bint observing              # what becomes of the messages concerns hooks or watches,
    bint tracing                # and is reported copy by copy

@cython.final
cdef class Engine:
    cdef readonly Router router
    cdef readonly Metrics metrics
    cdef readonly Egress egress
    cdef readonly dict sessions          # client id -> Session
    cdef readonly list channels          # every open connection; Channel.index is its place
    cdef public object policy            # emqx_mgmt.broker.policy.Policy: decides on all but ordinary messages
    cdef public RetainedStore retained   # None while no retainer is loaded
    cdef public uint32_t max_retained    # messages, 0: no limit
    cdef public uint32_t max_retained_payload
    cdef public uint32_t retained_expiry  # seconds, 0: never; for messages that bring no interval of their own
    cdef readonly bint publish_hooked      # `message.publish` has handlers: the broker sees every message
    cdef list hooked_prefixes            # or those below these prefixes only, bytes,
    cdef uint8_t hooked_first[256]       # and 1 for each byte that one of them begins with
    cdef bint delivered_hooked           # `message.delivered` has handlers,
    cdef bint dropped_hooked             # `message.dropped`,
    cdef bint acked_hooked               # `message.acked`,
    cdef readonly Watches watches        # topics and clients of which messages are counted or traced,
    cdef bint watched                    # whether there are any
    cdef bint observing                  # what becomes of messages concerns hooks or watches
    cdef list reports                    # and what they are told at the end of the turn: (point, argument ...)
    cdef public bint acl_hooked          # an ACL source is there
    cdef public bint subscribe_hooked    # handlers take part in a SUBSCRIBE,
    cdef public bint unsubscribe_hooked  # or in an UNSUBSCRIBE
    cdef public bint subscribed_hooked   # `session.subscribed` has handlers,
    cdef public bint unsubscribed_hooked    # `session.unsubscribed`
    cdef public bint shared_dispatch_ack
    cdef public Journal journal          # None when nothing is durable
    cdef public int64_t now              # monotonic ms, of the latest turn
    cdef size_t spent                    # bytes delivered in the current turn of a channel, or what was as much work
    cdef int64_t looks                   # nodes that all channels may yet walk over in this turn, but for a few each time
    cdef Chores chores                   # walks that go on over several turns
    cdef dict found                      # channel -> the Search that has found who gets its next message
    cdef object taken                    # the latest of them, whose result is in use
    cdef uint8_t* inbuf                  # what sockets are read into
    cdef EncodedPublish[ENCODINGS] encodings      # the delivery in route() as it was last encoded
    cdef uint64_t routed                 # deliveries so far
    cdef list ready                      # channels with bytes to parse in the next turn
    cdef list graveyard                  # closed in this turn; events for them may still be pending
    cdef public object wake              # called when there is work and no turn is running
    cdef readonly bint in_turn
    cdef list drained                    # channels whose outbox drained

    cdef int route(self, Routing* call, Delivery* d, Session publisher) except -1
    cdef Match* recipients(self, const uint8_t* topic, size_t n) except? NULL
    cdef Match* take_found(self, Connection c, const uint8_t* topic, size_t n) except? NULL
    cdef int64_t most_looks(self, int64_t at_once) noexcept
    cdef int charge(self, int64_t looks) except -1
    cdef int park(self, Routing* call, Delivery* d, Session publisher) except -1
    cdef int observe_received(self, Routing* call, Delivery* d) except -1
    cdef bint report_received(self, Delivery* d) except? True
    cdef bint report_one_received(self, Delivery* d) except? True
    cdef int deliver_to_session(self, Routing* call, Delivery* d, Recipient* r) except -1
    cdef int write_qos0(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t retain) except -1
    cdef int deliver_run_singly(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t qos,
                                uint8_t retain) except -1
    cdef int send_or_queue(self, Routing* call, Session s, Msg* msg, uint8_t qos, uint8_t retain,
                           uint32_t subid) except -1
    cdef int deliver_message(self, Routing* call, Delivery* d, Recipient* r, Session s, uint8_t qos,
                             uint8_t retain) except -1
    cdef int deliver_group(self, Routing* call, Delivery* d, Group* group) except -1
    cdef int deliver_member(self, Routing* call, Delivery* d, Group* group, uint64_t who) except -1
    cdef size_t packet_size(self, Session s, Msg* msg, uint8_t qos, uint32_t subid) noexcept
    cdef int drop_too_large(self, Session s, Msg* msg) except -1
    cdef int report(self, tuple event) except -1
    cdef int notify_handlers(self) except -1
    cdef int update_observing(self) except -1
    cdef int observe_delivered(self, Session s, Msg* msg, uint8_t qos) except -1
    cdef int observe_acked(self, Session s, Msg* msg, uint8_t qos) except -1
    cdef int watch_message(self, uint8_t seen, Session s, Msg* msg, uint8_t qos, str reason) except -1
    cdef int dropped(self, Session s, Msg* msg, int counter) except -1
    cdef int dropped_all(self, Routing* call, Session s, Delivery* d, int counter) except -1
    cdef void count_sent(self, Msg* msg, uint8_t qos) noexcept
    cdef int send_pubrel(self, Session s, uint16_t pid) except -1
    cdef int retry(self, Session s, int64_t sent_before) except -1
    cdef int resend(self, Session s) except -1
    cdef int resend_slot(self, Session s, Slot* slot) except -1
    cdef bint keeps_up(self, Session s) noexcept
    cdef int send_msg(self, bint observing, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint8_t dup,
                      uint32_t subid, uint16_t pid) except -1
    cdef int store(self, Routing* call, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1
    cdef int make_room(self, Session s, Msg* msg) except -1
    cdef int send_in_window(self, bint observing, Session s, Queued* q) except -1
    cdef uint64_t place_in_flight(self, Session s, Queued* q, uint16_t pid, uint64_t before) except? 0
    cdef int forget_place(self, Session s, uint64_t entry, Msg* msg) except -1
    cpdef drain(self, Session s)
    cdef bint hooked(self, const uint8_t* topic, size_t n) noexcept
    cdef bint defers_publishers(self, Session s) noexcept
    cdef int check_stalled_queue(self, Session s) except -1

cdef inline void begin(Engine e, Routing* call, Session publisher) noexcept:
    """A call of which nothing has come yet; None: no client is its publisher."""
    call.publisher = call.publisher_conn = NULL
    if publisher is not None:
        call.publisher = <void*>publisher
        call.publisher_conn = <void*>publisher.conn
    call.pause_for = call.full_session = call.parked = NULL
    call.payload_bytes = 0
    call.each_from = 0 if e.delivered_hooked else LARGE_PAYLOAD
    call.shared = call.tracing = False
    call.observing = e.observing
