"""What a stretch of the journal amounts to: the rows it adds, changes and removes, once what came and went is gone.

It is fed records in their order and owns what it makes of them, which the store process writes and then clears.
`references` counts the places that each message has won or lost: a body that has none left is not written.
"""

from libc.stdint cimport uint8_t, uint64_t

cdef class Compactor:
    cdef readonly dict bodies        # number -> bytes, of messages the store does not have yet
    cdef readonly dict references    # number -> how many places it has won or lost
    cdef readonly dict places        # entry -> [sid, number, subid, qos, flags, packet id, received], not stored yet
    cdef readonly dict sent          # entry -> (packet id, sid), of stored places
    cdef readonly dict received      # entry -> sid, of stored places
    cdef readonly list removed       # (sid, entry) of stored places
    cdef readonly dict dropped       # sid -> how many of its oldest queued messages
    cdef readonly dict facts         # (table, sid, key) -> value, or None for a row to delete
    cdef readonly set sids           # the sessions that have something here
    cdef readonly list ended         # sessions that are over, with all that the store or this has of them

    cdef size_t record(self, const uint8_t* p, size_t n) except 0
    cdef int refer(self, uint64_t number, int by) except -1
    cdef int enqueue(self, const uint8_t* p) except -1
    cdef int leave(self, const uint8_t* p, bint removed) except -1
