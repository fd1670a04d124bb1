"""What a channel may not send yet. Only channels that had to wait once have one.

`acks` waits for the queues of `full_sessions` and for commits, in the order in which the messages came; `uncommitted`
waits for commits alone. It is its channel's, and ends with it: an acknowledgement is never sent on another
connection.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef struct DeferredPacket:   # a packet that waits for a subscriber's queue, or for a commit
    uint64_t batch      # the commit, 0: none
    uint16_t pid
    uint8_t first_byte
    uint8_t reason

cdef struct Ring:
    DeferredPacket* items     # capacity a power of two
    uint32_t head
    uint32_t count
    uint32_t cap

cdef class Deferred:
    cdef Ring acks          # acknowledgements, in the order in which their messages came
    cdef list full_sessions         # the sessions whose queues they wait for, or None
    cdef Ring uncommitted   # PUBLISH, PUBREL and others that wait for nothing but a commit
    cdef list packets       # those of them that have their bytes already (first byte 0)

cdef int ring_put(Ring* r, DeferredPacket item) except -1
cdef inline DeferredPacket* ring_at(Ring* r, uint32_t i) noexcept:
    return r.items + ((r.head + i) & (r.cap - 1))
cdef inline void ring_drop(Ring* r) noexcept:
    r.head = (r.head + 1) & (r.cap - 1)
    r.count -= 1
