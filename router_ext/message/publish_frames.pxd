"""What one PUBLISH, or a run of them, looks like to each kind of subscriber.

A Delivery lives on the stack of the function that routes it. It borrows all its bytes, and owns one reference of
`msg` once that is made. `match` is valid until the table of subscriptions changes.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.routing.match_cache cimport Match
from router_ext.message.message cimport Msg

cdef enum:
    LONGEST_HEAD = 65535 + 64   # fixed header, topic, packet id and fixed-size properties

cdef struct Delivery:
    const uint8_t* topic
    const uint8_t* props        # those a server forwards, without expiry and without the length prefix
    const uint8_t* payload
    const uint8_t* client       # the publisher's client id
    const uint8_t* frames       # of a run: its QoS 0 PUBLISH packets as received, alike up to their payloads; else NULL
    size_t frames_len
    size_t payload_at           # where in the body of each the payload begins
    size_t longest              # at least as many bytes as any of them takes for a subscriber without identifiers
    uint64_t number             # tells it from others; each that is handed out gets one
    uint8_t* block              # what the payload lies in, where the message may keep that; else NULL
    Match* match                # who gets it, once that is known; valid until the table changes
    Msg* msg                    # made when the first subscriber needs it; one reference
    int64_t now                 # ms
    uint32_t count              # messages in the run
    uint32_t props_len
    uint32_t payload_len
    uint32_t expiry
    uint16_t topic_len
    uint16_t client_len
    uint8_t version             # of the frames
    uint8_t qos
    bint even                   # the frames are equally long
    bint verbatim               # the frames may be passed on as they are, to the same version
    bint retain
    bint has_expiry
    bint sys

cdef Msg* delivery_msg(Delivery* d) noexcept nogil
cdef void delivery_of(Delivery* d, Msg* msg, int64_t now) noexcept nogil

cdef bint delivery_next(Delivery* d, size_t* pos, const uint8_t** payload, uint32_t* n) noexcept nogil
cdef size_t run_bound(Delivery* d, uint32_t nids) noexcept nogil
cdef size_t put_run(Delivery* d, uint8_t* dst, uint8_t version, uint8_t first_byte, const uint32_t* ids,
                    uint32_t nids) noexcept nogil
cdef size_t publish_bound(uint16_t topic_len, uint32_t props_len, uint32_t payload_len, uint32_t nids) noexcept nogil
cdef size_t put_identifiers(uint8_t* dst, const uint32_t* ids, uint32_t nids) noexcept nogil
cdef size_t put_head(uint8_t* dst, uint8_t version, uint8_t first_byte, const uint8_t* topic, uint16_t topic_len,
                     uint16_t packet_id, uint16_t alias, const uint8_t* props, uint32_t props_len,
                     const uint32_t* ids, uint32_t nids,
                     bint has_expiry, uint32_t expiry, uint32_t payload_len) noexcept nogil
