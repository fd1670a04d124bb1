"""Topic names and topic filters: what is valid, what matches what (MQTT 5.0 and 3.1.1, section 4.7).

Functions of bytes, without state; a Share borrows from the filter that it divides. Invariant: what `name_valid` and
`filter_valid` let through is well-formed UTF-8 of 1 to 65,535 bytes. All others here take that for granted.
"""

from libc.stdint cimport uint8_t, uint32_t

cdef struct Share:               # a filter as it is subscribed to, in parts
    const uint8_t* group        # NULL: not shared
    const uint8_t* inner        # the filter proper
    size_t group_len
    size_t inner_len

cdef bint utf8_valid(const uint8_t* s, size_t n) noexcept nogil
cdef bint name_valid(const uint8_t* s, size_t n) noexcept nogil
cdef bint filter_valid(const uint8_t* s, size_t n) noexcept nogil
cdef bint matches(const uint8_t* filter, size_t nf, const uint8_t* name, size_t nn) noexcept nogil
cdef bint levels_match(const uint8_t* filter, size_t nf, const uint8_t* name, size_t nn) noexcept nogil
cdef uint32_t level_count(const uint8_t* s, size_t n) noexcept nogil
cdef bint share_parts(const uint8_t* s, size_t n, Share* out) noexcept nogil
cdef size_t level_end(const uint8_t* s, size_t at, size_t n) noexcept nogil
