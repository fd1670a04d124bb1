"""Packets that wait, in rings."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc


cdef class Deferred:
    def __cinit__(self):
        self.packets = []

    def __dealloc__(self):
        free(self.acks.items)
        free(self.uncommitted.items)


cdef int ring_put(Ring* r, DeferredPacket item) except -1:
    cdef uint32_t cap, i
    cdef DeferredPacket* grown
    if r.count == r.cap:
        cap = r.cap * 2 if r.cap else 16
        grown = <DeferredPacket*>malloc(cap * sizeof(DeferredPacket))
        if grown == NULL:
            raise MemoryError
        for i in range(r.count):
            grown[i] = ring_at(r, i)[0]
        free(r.items)
        r.items = grown
        r.cap = cap
        r.head = 0
    ring_at(r, r.count)[0] = item
    r.count += 1
    return 0
