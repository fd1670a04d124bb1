"""Retained messages by topic: one each, the last one published (MQTT 5.0, section 3.3.1.3).

A trie of topics whose nodes have the number of a record, which has one reference of the message. `turn` numbers
messages in the order in which they were kept: a cursor gives those that match in this order, and none that came after
it was made. The store may change under a cursor: what has been replaced or removed is left out.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from router_ext.message.message cimport Msg
from router_ext.memory.pool cimport Pool
from router_ext.routing.trie cimport Trie, Walk

cdef struct Kept:
    uint32_t reserved            # the pool's, when free
    uint32_t node                # the topic; 0: a free record
    uint64_t turn                # counts up: which of two came later
    Msg* msg                     # one reference

cdef struct Found:
    uint64_t turn
    uint32_t number

cdef class RetainedStore:
    cdef Trie trie               # topic -> node, whose head is the record
    cdef Pool records
    cdef Walk walk
    cdef uint64_t turn
    cdef uint32_t count
    cdef uint32_t expiring       # how many have a Message Expiry Interval
    cdef uint32_t swept          # where the next sweep goes on

    cdef int put(self, Msg* msg) except -1
    cdef Msg* find(self, const uint8_t* topic, size_t n) noexcept
    cdef int64_t seek(self, const uint8_t* topic_filter, size_t n, int64_t looks, bint* found) except? 0
    cdef uint32_t new_record(self, uint32_t node) noexcept
    cdef void forget(self, uint32_t number) noexcept

cdef class RetainedCursor:
    cdef readonly RetainedStore store
    cdef readonly bytes topic_filter
    cdef readonly bint done      # there is nothing more
    cdef uint64_t until          # what was kept later is none of its business
    cdef bint scanning           # record after record of the store, for want of a list of those that match
    cdef Found* found            # oldest first
    cdef int64_t looked          # what it cost to make it
    cdef uint32_t at             # of the next record, or its place in `found`
    cdef uint32_t end
    cdef set overtaken           # turns of those that were sent out of their turn, or None

    cdef int look_up(self, int64_t looks) except -1
    cdef Msg* next(self, int64_t* looks) except? NULL
    cdef Msg* fetch(self, const uint8_t* topic, size_t n) except? NULL
