"""PUBLISH from a client.

`publish` takes as many packets as can be handled in one piece (a run) and returns their bytes; 0: nothing was done
with the packet but counting it, and it is seen again once the hold is lifted. The Delivery that it makes points into
the channel's buffer: a message that is kept copies what it needs, or takes over the inbox (`Delivery.block`).
"""

from libc.stdint cimport uint8_t

from router_ext.engine.channel cimport Channel

cdef bint over_rate(Channel c) except? True
cdef size_t publish(Channel c, uint8_t* p, size_t n, size_t header, size_t body) except? 0
