"""SUBSCRIBE and UNSUBSCRIBE where no handler has a say: from the bytes of a packet to the table."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from router_ext.engine.channel cimport Channel
from router_ext.protocol.topic cimport Share

cdef struct FilterEntry:          # one filter of a packet, and where it lies in it
    const uint8_t* text     # as its client named it
    uint16_t n
    uint8_t options         # of a SUBSCRIBE
    Share share             # the same in parts

cdef class Request:
    cdef Channel channel
    cdef const uint8_t* at      # the next filter
    cdef const uint8_t* end
    cdef bytes kept             # what they point into, when that is not the channel's buffer any more
    cdef uint8_t* codes         # the answers, one for each filter
    cdef uint32_t n             # so many of them are there
    cdef uint16_t packet_id
    cdef bint with_options      # it is a SUBSCRIBE
    cdef int64_t budget         # what may yet be done before others have their turn

    cpdef bint go_on(self) except? True
    cdef int answer(self, const FilterEntry* asked) except -1
    cdef int finish(self) except -1

cdef class SubscribeRequest(Request):
    cdef list rules             # the rows of the ACL file for this client; None: it may subscribe to anything
    cdef uint32_t subid
    cdef uint8_t refusal        # the reason of the first filter that is refused, 0: none is
    cdef bint denied            # the ACL is the reason of one

    cdef int check(self, const FilterEntry* asked) except -1
    cdef bint allowed(self, const uint8_t* topic_filter, size_t n) except? False
    cdef bint has_room(self, const FilterEntry* asked) noexcept
    cdef bint add_retained(self, const FilterEntry* asked, uint8_t options, bint new) except? True

cdef class UnsubscribeRequest(Request):
    cdef bint missed            # there was no such subscription

cdef bint handle(Channel c, uint8_t kind, const uint8_t* body, size_t n) except? True
