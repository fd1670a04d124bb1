"""A channel: one MQTT connection, from the bytes it sends to the state of its session.

It owns its socket, its transport and its inbox, the bytes that are not parsed yet; `publish` may give the inbox to a
message as its block. It has a session from `accept` on, and keeps it after the end: whether it still is the session's
connection, `session.conn` says. Invariants: nothing is parsed while `holds` is not 0; for each hold something is
under way that lifts it; a closed channel stays in the engine's graveyard until the next turn, since events for it may
still be pending.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.session.acl_cache cimport AclCache
from router_ext.message.topic_alias cimport ClientAliases
from router_ext.net.connection cimport Connection
from router_ext.engine.engine cimport Engine
from router_ext.memory.flag cimport flag
from router_ext.session.session cimport Session
from router_ext.session.deferred cimport Deferred
from router_ext.session.zone cimport Zone

cdef enum State:
    AWAIT_CONNECT
    DECIDING        # CONNECT is with the broker; nothing is read unless it asks for AUTH
    OPEN
    CLOSED

cdef enum Hold:     # why nothing is read; the channel reads again when none is left
    HOLD_VERDICT = 1    # a decision is pending
    HOLD_OUTPUT = 2     # a subscriber's socket is full
    HOLD_RATE = 4       # publish_limit, or its user's, is used up
    HOLD_BUDGET = 8     # the turn's work is done; goes on in the next turn
    HOLD_STORE = 16     # the disk of the store is full, or it is far behind
    HOLD_MATCH = 32     # the recipients of the next message are being searched

cdef enum Verdict:
    DENY = 0
    ALLOW = 1
    PENDING = 2
    UNKNOWN = 3
    UNAVAILABLE = 4     # nobody can decide at present: denied, and asked about again the next time

cdef enum Stop:         # why parsing stopped
    STOP_NEED_MORE = 0
    STOP_HELD = 1
    STOP_CLOSED = 2

@cython.final
cdef class Channel(Connection):
    # Ordered so that no room is lost between fields: there is one for each idle client.
    cdef Engine engine
    cdef readonly Zone zone
    cdef readonly Session session
    cdef readonly object listener
    cdef readonly bytes address          # the client's socket address, as the system or its proxy gave it
    cdef readonly bytes accepted_from    # the peer's own, a proxy's for one
    cdef Py_ssize_t index                # in engine.channels
    cdef int poller                      # epoll descriptor
    cdef uint8_t state                   # State
    cdef uint8_t version
    cdef uint8_t holds
    cdef uint8_t watching                # events asked of the poller
    cdef uint8_t verdict                 # the answer to the check that held the next packet, else UNKNOWN
    cdef flag counted                    # the packet at the head was counted before it was held
    cdef flag parsing                    # further up the stack
    cdef flag slow_told                  # the broker knows that this client was slow once
    cdef flag queued                     # on engine.ready
    cdef readonly flag clean_start
    cdef readonly flag is_bridge
    cdef readonly flag is_super
    cdef readonly flag relayed           # something passed the connection on: the client is no program on this machine
    cdef public flag explain             # reason strings are wanted (MQTT 5, Request Problem Information 1)
    cdef flag acl                        # zone.enable_acl, and not a super-user
    cdef flag warned                     # that the client passed max_awaiting_rel
    cdef uint16_t alias_max
    cdef readonly uint16_t keepalive     # seconds, as the client asked
    cdef public uint32_t max_packet      # the longest packet the client takes, 0: no limit
    cdef uint32_t unacked                # MQTT 5: QoS 1 and 2 messages of the client whose exchange goes on
    cdef int64_t rate_start              # ms
    cdef int64_t silence_limit           # ms without a byte, 0: no limit
    cdef int64_t heard                   # ms, when the last bytes came
    cdef readonly double connected_at    # unix seconds
    cdef readonly object will_topic
    cdef public object peercert
    cdef public object context           # the broker's own
    cdef bytes mount                     # the mountpoint with its placeholders filled, or None
    cdef ClientAliases aliases           # those that the client gave, or None
    cdef readonly str close_reason
    cdef uint8_t* inbox                  # bytes not parsed yet
    cdef uint32_t inbox_head
    cdef uint32_t inbox_len
    cdef uint32_t inbox_cap
    cdef uint32_t rate_used              # messages since `rate_start`
    cdef Deferred deferred               # or None
    cdef AclCache acl_cache
    cdef uint64_t cork_batch
    cdef readonly uint64_t recv_oct
    cdef readonly uint64_t recv_cnt      # reads of the socket
    cdef readonly uint64_t recv_pkt
    cdef readonly uint64_t recv_msg
    cdef uint64_t sent_others            # packets to the client that are no PUBLISH
    cdef uint64_t delivered_before       # the session's deliver_msg when this connection took it over

    cdef int readable(self) except -1
    cdef int resume_reading(self) except -1
    cdef int writable(self) except -1
    cdef int watch(self) except -1
    cdef void unwatch(self) noexcept
    cdef ssize_t receive(self, uint8_t* p, size_t room) except -2
    cdef int handshake_done(self) except -1
    cdef uint8_t options_of(self, uint8_t options, bint shared) noexcept
    cdef int recv_failed(self, ssize_t n) except -1
    cdef int hung_up(self) except -1
    cdef int cut_off(self) except -1
    cdef int read_on(self) except -1
    cdef size_t room_for_rest(self) except? 0
    cdef int move_inbox(self, size_t cap) except -1
    cdef int keep(self, const uint8_t* p, size_t n) except -1
    cdef int consume(self, uint8_t* p) except -1
    cdef int schedule(self) except -1
    cdef Stop parse(self, uint8_t* p, size_t n, size_t* used) except? STOP_CLOSED
    cdef uint32_t longest_unknown(self) noexcept
    cdef int count_received(self, uint8_t kind, uint32_t packets) except -1
    cdef bint packet(self, uint8_t* p, size_t header, size_t body) except? True
    cdef int connect(self, uint8_t* p, size_t header, size_t body) except -1
    cdef int during_connect(self, uint8_t kind, uint8_t* p, size_t header, size_t body) except -1
    cdef int violation(self, uint8_t code) except -1
    cdef int refuse_packet(self, error) except -1
    cdef int uncork(self) except -1
    cdef int count_sent(self, uint8_t first_byte) except -1
    cdef Verdict check_acl(self, uint8_t access, const uint8_t* topic, size_t n) except? DENY
    cdef int remember_acl(self, uint8_t access, const uint8_t* topic, size_t n, bint allowed) except -1
    cdef int put_packet(self, bytes packet) except -1
    cdef int count_connack(self, uint8_t code) except -1
    cdef int close_with(self, uint8_t code, str reason) except -1
    cdef int shut(self, str reason) except -1
    cdef int wake_waiters(self) except -1
    cdef int after_drain(self) except -1
