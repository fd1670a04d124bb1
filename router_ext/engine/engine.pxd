"""The engine: what all connections of a node share, and the way of a message from its publisher to its subscribers."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.routing.match_cache cimport Match
from router_ext.routing.chores cimport Chores
from router_ext.net.connection cimport Connection, Egress
from router_ext.message.publish_frames cimport Delivery
from router_ext.message.encoded_publish cimport ENCODINGS, EncodedPublish
from router_ext.durable.journal cimport Journal
from router_ext.message.message cimport Msg
from router_ext.net.metrics cimport Metrics
from router_ext.message.retained_store cimport RetainedStore
from router_ext.routing.router cimport Group, Recipient, Router
from router_ext.session.session cimport Queued, Session, Slot
from router_ext.routing.watch cimport Watches

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
    cdef bint watched                    # whether there are any,
    cdef bint tracing                    # and whether the delivery in route() is told of
    cdef uint64_t run_payload            # bytes of the payloads of the run in route(), while something is watched
    cdef bint observing                    # what becomes of messages concerns hooks or watches
    cdef list reports                    # and what they are told at the end of the turn: (point, argument ...)
    cdef uint32_t each_from              # bytes of payload from which on QoS 0 goes out message by message
    cdef public bint acl_hooked          # an ACL source is there
    cdef public bint subscribe_hooked    # a handler has a say in a SUBSCRIBE, or is told of what comes of it,
    cdef public bint unsubscribe_hooked  # or of an UNSUBSCRIBE
    cdef public bint shared_dispatch_ack
    cdef public Journal journal          # None when nothing is durable
    cdef public int64_t now              # monotonic ms, of the latest turn
    cdef size_t spent                    # bytes delivered in the current turn of a channel, or what was as much work
    cdef int64_t looks                   # nodes that all channels may yet walk over in this turn, but for a few each time
    cdef Chores chores                   # walks that go on over several turns
    cdef dict found                      # channel -> the Search that has found who gets its next message
    cdef object taken                    # the latest of them, whose result is in use
    cdef object parked                   # the Postponed that the latest route() has made, or None
    cdef uint8_t* inbuf                  # what sockets are read into
    cdef EncodedPublish[ENCODINGS] encodings      # the delivery in route() as it was last encoded
    cdef uint64_t routed             # deliveries so far
    cdef list ready                      # channels with bytes to parse in the next turn
    cdef list graveyard                  # closed in this turn; events for them may still be pending
    cdef public object wake              # called when there is work and no turn is running
    cdef readonly bint in_turn
    cdef list drained                    # channels whose outbox drained
    cdef void* publisher_conn                   # the publisher's connection in route(); it is never paused for itself
    cdef Connection pause_for            # of the latest route(): its outbox is over `pause_at`
    cdef Session full_session                    # of the latest route(): its queue is full while it keeps up
    cdef bint shared                     # the delivery goes to the member of a shared group

    cdef int route(self, Delivery* d, Session publisher) except -1
    cdef Match* recipients(self, const uint8_t* topic, size_t n) except? NULL
    cdef Match* take_found(self, Connection c, const uint8_t* topic, size_t n) except? NULL
    cdef int64_t most_looks(self, int64_t at_once) noexcept
    cdef int charge(self, int64_t looks) except -1
    cdef int park(self, Delivery* d, Session publisher) except -1
    cdef int route_watched(self, Delivery* d, Session publisher) except -1
    cdef bint report_received(self, Delivery* d) except? True
    cdef bint report_one_received(self, Delivery* d) except? True
    cdef uint64_t payload_of(self, Delivery* d) noexcept
    cdef int deliver_to_session(self, Delivery* d, Recipient* r, Session publisher) except -1
    cdef int write_qos0(self, Delivery* d, Recipient* r, Session s, uint8_t retain) except -1
    cdef int deliver_run_singly(self, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1
    cdef int send_or_queue(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1
    cdef int deliver_message(self, Delivery* d, Recipient* r, Session s, uint8_t qos, uint8_t retain) except -1
    cdef int deliver_group(self, Delivery* d, Group* group, Session publisher) except -1
    cdef int deliver_member(self, Delivery* d, Group* group, uint64_t who) except -1
    cdef size_t packet_size(self, Session s, Msg* msg, uint8_t qos, uint32_t subid) noexcept
    cdef int drop_too_large(self, Session s, Msg* msg) except -1
    cdef int report(self, tuple event) except -1
    cdef int notify_handlers(self) except -1
    cdef int update_observing(self) except -1
    cdef int observe_delivered(self, Session s, Msg* msg, uint8_t qos) except -1
    cdef int observe_acked(self, Session s, Msg* msg, uint8_t qos) except -1
    cdef int watch_message(self, uint8_t seen, Session s, Msg* msg, uint8_t qos, str reason) except -1
    cdef int dropped(self, Session s, Msg* msg, int counter) except -1
    cdef int dropped_all(self, Session s, Delivery* d, int counter) except -1
    cdef void count_sent(self, Msg* msg, uint8_t qos) noexcept
    cdef int send_pubrel(self, Session s, uint16_t pid) except -1
    cdef int retry(self, Session s, int64_t sent_before) except -1
    cdef int resend(self, Session s) except -1
    cdef int resend_slot(self, Session s, Slot* slot) except -1
    cdef bint keeps_up(self, Session s) noexcept
    cdef int send_msg(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint8_t dup, uint32_t subid,
                      uint16_t pid) except -1
    cdef int store(self, Session s, Msg* msg, uint8_t qos, uint8_t retain, uint32_t subid) except -1
    cdef int make_room(self, Session s, Msg* msg) except -1
    cdef int send_in_window(self, Session s, Queued* q) except -1
    cdef uint64_t place_in_flight(self, Session s, Queued* q, uint16_t pid, uint64_t before) except? 0
    cdef int forget_place(self, Session s, uint64_t entry, Msg* msg) except -1
    cpdef drain(self, Session s)
    cdef bint hooked(self, const uint8_t* topic, size_t n) noexcept
    cdef bint defers_publishers(self, Session s) noexcept
    cdef int check_stalled_queue(self, Session s) except -1
