"""Runs in the store process. The layout of the records is in journal.pyx."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from router_ext.durable.journal cimport (
    REC_BODY, REC_DELETE, REC_DROP_OLDEST, REC_END, REC_ENQUEUE, REC_PUT, REC_RECEIVED, REC_REMOVE, REC_SENT,
)


cdef inline uint64_t u64(const uint8_t* p) noexcept nogil:
    cdef uint64_t v
    memcpy(&v, p, 8)
    return v


cdef inline uint32_t u32(const uint8_t* p) noexcept nogil:
    cdef uint32_t v
    memcpy(&v, p, 4)
    return v


cdef inline uint16_t u16(const uint8_t* p) noexcept nogil:
    cdef uint16_t v
    memcpy(&v, p, 2)
    return v


# The bytes of each record but for what follows it in its own length.
cdef size_t[10] HEAD = [0, 13, 33, 19, 25, 25, 13, 18, 14, 9]


cdef class Compactor:

    def __init__(self):
        self.clear()

    def clear(self):
        self.bodies = {}
        self.references = {}
        self.places = {}
        self.sent = {}
        self.received = {}
        self.removed = []
        self.dropped = {}
        self.facts = {}
        self.sids = set()
        self.ended = []

    def __len__(self):
        """Rows to write."""
        return (len(self.references) + len(self.places) + len(self.sent) + len(self.received) + len(self.removed)
                + len(self.dropped) + len(self.facts) + len(self.ended))

    def feed(self, bytes data not None, size_t at, size_t most):
        """Takes in records from `at` on, about `most` bytes of them; returns where the next one begins. ValueError:
        these are none."""
        cdef const uint8_t* p = data
        cdef size_t n = len(data), end = min(n, at + most)
        while at < end:
            at += self.record(p + at, n - at)
        return at

    cdef size_t record(self, const uint8_t* p, size_t n) except 0:
        cdef uint8_t kind = p[0]
        cdef size_t length = HEAD[kind] if kind < 10 else 0
        if length == 0 or length > n:
            raise ValueError(f"a record of unknown kind {kind}" if length == 0 else "a record is cut off")
        if kind == REC_BODY:
            length += u32(p + 9)
        elif kind == REC_PUT:
            length += <size_t>u32(p + 10) + u32(p + 14)
        elif kind == REC_DELETE:
            length += u32(p + 10)
        if length > n:
            raise ValueError("a record is cut off")
        if kind == REC_BODY:
            self.bodies[u64(p + 1)] = p[13:length]
        elif kind == REC_ENQUEUE:
            self.enqueue(p)
        elif kind == REC_SENT:
            self.began(u64(p + 1), u64(p + 9), u16(p + 17))
        elif kind == REC_RECEIVED or kind == REC_REMOVE:
            self.leave(p, kind == REC_REMOVE)
        elif kind == REC_DROP_OLDEST:
            self.dropped[u64(p + 1)] = self.dropped.get(u64(p + 1), 0) + u32(p + 9)
            self.sids.add(u64(p + 1))
        elif kind == REC_PUT:
            self.facts[(p[1], u64(p + 2), p[18:18 + u32(p + 10)])] = p[18 + u32(p + 10):length]
        elif kind == REC_DELETE:
            self.facts[(p[1], u64(p + 2), p[14:length])] = None
        elif kind == REC_END:
            self.ended.append(u64(p + 1))
        return length

    cdef int refer(self, uint64_t number, int by) except -1:
        cdef object now = self.references.get(number, 0) + by
        if now:
            self.references[number] = now
        else:
            del self.references[number]
            self.bodies.pop(number, None)
        return 0

    cdef int enqueue(self, const uint8_t* p) except -1:
        cdef uint64_t sid = u64(p + 1), number = u64(p + 17)
        self.places[u64(p + 9)] = [sid, number, u32(p + 25), p[31], p[32], u16(p + 29), False]
        self.sids.add(sid)
        return self.refer(number, 1)

    def began(self, uint64_t sid, uint64_t entry, uint16_t pid):
        cdef list place = self.places.get(entry)
        if place is not None:
            place[5] = pid
        else:
            self.sent[entry] = (pid, sid)
            self.sids.add(sid)

    cdef int leave(self, const uint8_t* p, bint removed) except -1:
        cdef uint64_t sid = u64(p + 1), entry = u64(p + 9), number = u64(p + 17)
        cdef list place = self.places.get(entry)
        if number:
            self.refer(number, -1)
        if removed:
            if place is not None:
                del self.places[entry]
                return 0
            self.sent.pop(entry, None)
            self.received.pop(entry, None)
            self.removed.append((sid, entry))
        elif place is not None:
            place[1] = 0
            place[6] = True
        else:
            self.received[entry] = sid
        self.sids.add(sid)
        return 0
