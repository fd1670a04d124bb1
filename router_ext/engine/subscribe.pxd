"""SUBSCRIBE and UNSUBSCRIBE: from the bytes of a packet to the table of subscriptions.

A Request goes through the filters where they lie in the packet, and yields to other clients after a thousand of them;
no Python object is made for a filter. Where handlers take part, they are asked once for the whole packet
(`Policy.check_filters`, `Policy.rename_filters`), now or in a greenlet that holds the channel; what they leave is
written down as a packet has it, and the same walk follows.

A Request owns its codes and, once it outlives the turn, a copy of the filters. It lives on the stack of `handle`, or
with the greenlet that goes on with it. Invariants: nothing is subscribed before the whole packet is known to be well
formed; SUBACK and UNSUBACK have one code for each filter of the packet [MQTT-3.8.4-6] [MQTT-3.11.3-1]; a channel that
closed meanwhile is not subscribed to anything more.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from router_ext.engine.channel cimport Channel
from router_ext.protocol.topic cimport Share

cdef struct FilterEntry:          # one filter of a packet, and where it lies in it
    const uint8_t* text     # as its client named it, later below the client's mountpoint
    uint16_t n
    uint8_t options         # of a SUBSCRIBE
    Share share             # the same in parts

cdef class Request:
    cdef Channel channel
    cdef const uint8_t* at      # the next filter
    cdef const uint8_t* end
    cdef bytes kept             # what they point into, when that is not the channel's buffer any more
    cdef bytes mounted          # the filter at hand, where it has a mountpoint in front
    cdef list filters           # while handlers have them: (filter, options), or filters alone
    cdef uint8_t* codes         # the answers, one for each filter
    cdef uint32_t n             # so many of them are there,
    cdef uint32_t count         # of so many
    cdef uint16_t packet_id
    cdef uint8_t version        # whose rules the options follow
    cdef bint with_options      # it is a SUBSCRIBE
    cdef bint changeable        # the filters went through handlers
    cdef int64_t budget         # filters that may yet be handled before other clients have their turn

    cdef bint ask(self) except? False
    cdef bint start(self) except? True
    cdef int start_later(self) except -1
    cpdef bint go_on(self) except? True
    cdef int keep(self) except -1
    cdef int point_to(self, bytes filters) except -1
    cdef list listed(self)
    cdef int take(self, list rows) except -1
    cdef bint mount(self, FilterEntry* asked) except? False
    cdef int answer(self, FilterEntry* asked) except -1
    cdef int finish(self) except -1

cdef class SubscribeRequest(Request):
    cdef list rules             # the rows of the ACL file for this client; None: it may subscribe to anything
    cdef uint32_t subid
    cdef uint32_t unavailable   # filters about which nobody could decide
    cdef uint8_t refusal        # the reason of the first filter that is refused, 0: none is
    cdef bint is_decided        # `codes` has what the handlers decided
    cdef bint denied            # the ACL is the reason of one

    cdef int use(self, list codes) except -1
    cdef int check(self, const FilterEntry* asked) except -1
    cdef int by_zone(self, const FilterEntry* asked) except -1
    cdef bint allowed(self, const uint8_t* topic_filter, size_t n) except? False
    cdef bint has_room(self, const FilterEntry* asked) noexcept

cdef class UnsubscribeRequest(Request):
    cdef bint missed            # there was no such subscription

    cdef int use(self) except -1

cdef bint handle(Channel c, uint8_t kind, const uint8_t* body, size_t n) except? True
