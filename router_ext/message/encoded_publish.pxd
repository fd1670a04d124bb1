"""A delivery as QoS 0 packets for one kind of subscriber: encoded once, and kept for the next subscribers alike.

Subscribers are alike when nothing in their packets differs but the numbers of their subscription identifiers: those are
written over the numbers of the subscriber before.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from router_ext.message.publish_frames cimport Delivery

cdef enum:
    WIDEST = 8              # bytes of identifiers that are written over; a packet with more is encoded for each subscriber
    ENCODINGS = WIDEST + 3   # MQTT 3; MQTT 5 by the bytes of its identifiers, from none to more than WIDEST

cdef struct EncodedPublish:
    uint8_t* bytes
    size_t cap
    size_t n
    uint64_t of             # the number of the delivery that it was made of
    uint64_t identifiers    # as they stand in its packets, and zeros behind them
    size_t identifiers_at   # where that is in the body of each packet
    uint8_t first_byte

cdef EncodedPublish* encoded_for(EncodedPublish* kept, Delivery* d, uint8_t version, uint8_t retain, const uint32_t* ids,
                                 uint32_t nids) noexcept nogil
cdef void free_encodings(EncodedPublish* kept) noexcept nogil
