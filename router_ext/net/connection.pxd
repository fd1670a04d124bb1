"""The transport seam: a peer that bytes go to. Nothing above it knows whether they travel plain, in TLS or in frames.

A connection owns its outbox. Its egress knows it while it is `dirty`, by a borrowed pointer: `Egress.forget` ends
that before the connection goes. Invariants: nothing is written while it is corked or after it `failed`; `blocked`
says that the socket was full, and `Egress.blocked` has exactly those connections, but for corked ones;
`Egress.pending` is the sum of all outboxes.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.memory.flag cimport flag
from router_ext.net.metrics cimport Metric, Metrics
from router_ext.message.outbox cimport Outbox
from router_ext.net.transport cimport Transport

cdef class Connection:
    cdef int fd                     # -1 once closed, and for connections without a socket
    cdef uint32_t epoch             # of the egress, when it last wrote
    cdef uint32_t passed            # the turn in which it was last written to before the turn's end
    cdef Egress egress
    cdef Outbox outbox
    cdef readonly Transport transport   # None for a plain socket
    cdef flag dirty                 # on the egress list
    cdef flag blocked               # the socket was full; its poller tells when it takes more
    cdef flag slow                  # it took too little for too long; see Egress
    cdef flag failed                # the peer takes nothing more: closed once what came from it is handled
    cdef flag corked                # blocked until a commit: nothing may go out before it
    cdef flag awaits_commit         # on the journal's list
    cdef int64_t window_start       # ms, the slow-subscriber window
    cdef uint64_t window_sent       # bytes taken in that window
    cdef int64_t stalled_since      # ms, the first of the windows in a row in which it took too little
    cdef readonly uint64_t send_oct
    cdef readonly uint64_t send_cnt  # writes to the socket
    cdef list waiters               # publishers paused until this one's outbox drains, or None

    cdef int wants_write(self, bint on) except -1
    cdef int put(self, const uint8_t* p, size_t n) except -1
    cdef int flush(self) except -1
    cdef int drained(self) except -1
    cdef int go_on_later(self) except -1
    cdef int fail(self) except -1
    cdef int block(self, size_t sent) except -1
    cdef int unblock(self) except -1
    cdef bint stalls(self, int64_t now) except? True
    cdef int turn_slow(self, Metric why) except -1
    cdef bint held_back(self) noexcept
    cdef int discard_output(self) except -1
    cdef int after_commit(self, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1
    cdef int on_commit(self) except -1

cdef class Egress:
    """The connections of a node with bytes to write. Invariant: a connection is on the list exactly when `dirty`."""
    cdef Metrics metrics
    cdef public int64_t now             # ms, of the current turn
    cdef void** dirty
    cdef size_t count
    cdef size_t cap
    cdef size_t waiting                 # the first so many of them wait for the end of the turn
    cdef uint32_t turn                  # counts turns
    cdef size_t unflushed               # bytes queued since the last flush
    cdef public size_t pending          # bytes in all outboxes
    cdef readonly size_t high_water       # an outbox above it gets nothing from its session's queue
    cdef readonly size_t pause_at       # an outbox above it pauses those who fill it, until a quarter of it is left
    cdef readonly size_t hard_limit       # an outbox above it makes its subscriber slow at once
    cdef readonly size_t budget           # of all outboxes of blocked connections together
    cdef public size_t slow_min_bytes
    cdef public int64_t slow_window     # ms
    cdef public int64_t patience        # ms, where most subscribers stall at the same time
    cdef uint32_t epoch                 # counts slow windows
    cdef int64_t epoch_start            # ms
    cdef size_t active                  # connections that wrote in this epoch,
    cdef size_t active_before           # and in the one before
    cdef readonly list failures         # connections whose socket failed
    cdef readonly set blocked           # connections that wait for their socket

    cdef int touch(self, Connection c, size_t n) except -1
    cdef int flush_touched_since(self, Connection reader) except -1
    cdef int flush_all(self) except -1
    cdef int forget(self, Connection c) except -1
    cdef int share(self) except -1
    cdef int relieve(self, size_t held) except -1
