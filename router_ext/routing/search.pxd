"""The recipients of a message whose topic takes many looks.

A walk of the trie that is cut and continued: its place is the path, so that nodes may come and go meanwhile. What it
has found is kept by subscriber, with a reference of each, and is put together only at the end.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from router_ext.memory.arena cimport Arena
from router_ext.routing.match_cache cimport Match
from router_ext.routing.chores cimport Chore
from router_ext.routing.router cimport Router
from router_ext.routing.subscription cimport Recipient, Subscription
from router_ext.routing.trie cimport Place, Walk

cdef class Search(Chore):
    cdef Router router
    cdef bytes topic
    cdef Walk walk
    cdef Place place
    cdef bint begun
    cdef uint64_t since         # the table's generation when it began
    cdef Arena arena            # subscription identifiers, and groups at the end
    cdef Recipient* plain
    cdef uint32_t n_plain
    cdef uint32_t max_plain
    cdef dict places            # subscriber -> where it is in `plain`
    cdef list groups            # (filter, name) of shared groups
    cdef Match match

    cdef bint is_for(self, const uint8_t* topic, size_t n) noexcept
    cdef Match* result(self) except NULL
    cdef int found(self) except -1
    cdef int gather(self) except -1
    cdef int add(self, Subscription* row) except -1
    cdef int make_room(self) except -1
