"""Bytes that wait for a socket: a buffer of small frames, and large payloads held by reference between them.

Part of a Connection, which frees it. A splice holds one reference of its message. Invariant: `pending` counts all
bytes that are not sent, in the order of `buf`, each payload where its splice says.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from router_ext.message.message cimport Msg

cdef enum:
    LARGE_PAYLOAD = 16384   # from this size on a payload is not copied per subscriber

cdef struct Splice:
    size_t at               # where in `buf` the payload comes
    Msg* msg                # one reference
    size_t done             # payload bytes already sent

cdef struct Outbox:
    uint8_t* buf
    size_t head             # first byte not sent
    size_t tail
    size_t cap
    size_t pending          # all bytes not sent, spliced ones included
    Splice* splices
    uint32_t first          # splices[first:count] are not sent
    uint32_t count
    uint32_t splice_cap

cdef uint8_t* outbox_reserve(Outbox* o, size_t n) noexcept nogil
cdef inline void outbox_commit(Outbox* o, size_t n) noexcept nogil:
    o.tail += n
    o.pending += n
cdef int outbox_put(Outbox* o, const uint8_t* p, size_t n) noexcept nogil
cdef int outbox_splice(Outbox* o, Msg* m) noexcept nogil
cdef int outbox_send(Outbox* o, int fd, size_t* sent) noexcept nogil
cdef void outbox_consume(Outbox* o, size_t n) noexcept nogil
cdef size_t outbox_peek(Outbox* o, const uint8_t** p) noexcept nogil
cdef void outbox_free(Outbox* o) noexcept nogil
