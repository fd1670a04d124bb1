"""The MQTT 5 properties: one table, read at C level by everything that meets a property.

The table says each property's identifier, name, kind, range and the packets that it may appear in; reading, checking
and writing follow from it. A Property borrows its bytes from the packet that it was read from.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    WILL = 16              # the Will Properties inside a CONNECT, where a packet type is asked for
    PUBLISH_OUT = 17       # a PUBLISH from server to client: may carry Subscription Identifiers

cdef struct Property:
    uint8_t id
    uint32_t number        # of the integer kinds
    const uint8_t* text    # of the string and binary kinds; the name of a user property
    uint16_t text_len
    const uint8_t* value   # of a user property
    uint16_t value_len

cdef int next_property(const uint8_t* p, size_t n, Property* out) noexcept nogil
cdef int admit(const Property* property, uint8_t packet, uint64_t* seen) noexcept nogil
cdef int check_properties(const uint8_t* p, size_t n, uint8_t packet) noexcept nogil
cdef size_t forwardable(const uint8_t* props, size_t n, uint8_t* dst) noexcept nogil
cdef dict properties_dict(const uint8_t* p, size_t n, bint pairs=*)
cdef uint32_t count_pairs(const uint8_t* p, size_t n) noexcept nogil
cdef bytes properties_bytes(dict properties, uint8_t packet)
