"""Acknowledgements, both ways.

To the client: PUBACK and PUBREC leave in the order in which the messages came. `Deferred` has those that wait for a
commit or for room in a session's queue. From the client: each ends or advances a slot of the session's window. These
functions own nothing; they change Deferred, which is the channel's, and the window by the session's methods.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from router_ext.engine.channel cimport Channel
from router_ext.session.session cimport Session
from router_ext.session.deferred cimport Deferred

cdef Deferred deferred_of(Channel c)
cdef int acknowledge(Channel c, uint8_t first_byte, uint16_t pid, uint8_t code, uint64_t batch) except -1
cdef int defer_acks(Channel c, Session full_session) except -1
cdef int acknowledgement(Channel c, uint8_t kind, const uint8_t* body, size_t n) except -1
cdef int put_after_commit(Channel c, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1
cdef int release_acks(Channel c) except -1
cdef int release_committed(Channel c) except -1
cdef bint release_id(Channel c, uint16_t pid) except? True
