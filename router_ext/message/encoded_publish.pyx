"""Flavours of a delivery: see encoded_publish.pxd. Nothing here touches a Python object."""

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from router_ext.message.publish_frames cimport publish_bound, put_head, put_identifiers, put_run, run_bound
from router_ext.protocol.wire cimport MQTT_5, frame, varint_size


cdef EncodedPublish* encoded_for(EncodedPublish* kept, Delivery* d, uint8_t version, uint8_t retain, const uint32_t* ids,
                                 uint32_t nids) noexcept nogil:
    """The delivery for a subscriber of that version, RETAIN flag and identifiers, valid until the next call; NULL when
    memory is out. `kept` are the ENCODINGS of an engine."""
    cdef size_t width = identifiers_size(ids, nids) if version == MQTT_5 else 0
    cdef EncodedPublish* f = kept + (min(width, <size_t>WIDEST + 1) + 1 if version == MQTT_5 else 0)
    cdef uint64_t identifiers = 0
    if width and width <= WIDEST:
        put_identifiers(<uint8_t*>&identifiers, ids, nids)
    if f.of != d.number or f.first_byte != 0x30 | retain or width > WIDEST:
        if not encode(f, d, version, 0x30 | retain, ids, nids):
            return NULL
        f.identifiers_at = (2 + d.topic_len + varint_size(d.props_len + (5 if d.has_expiry else 0) + <uint32_t>width)
                            + (5 if d.has_expiry else 0))
    elif f.identifiers != identifiers:
        write_over(f, d.even, identifiers, width)
    f.identifiers = identifiers
    return f


cdef size_t identifiers_size(const uint32_t* ids, uint32_t nids) noexcept nogil:
    """Bytes of the properties with these numbers."""
    cdef size_t size = 0
    cdef uint32_t i
    for i in range(nids):
        size += 1 + varint_size(ids[i])
    return size


cdef bint encode(EncodedPublish* f, Delivery* d, uint8_t version, uint8_t first_byte, const uint32_t* ids,
                 uint32_t nids) noexcept nogil:
    """Into the buffer of `f`; False when memory is out."""
    f.of = 0
    if d.count > 1:
        if not make_room(f, run_bound(d, nids)):
            return False
        f.n = put_run(d, f.bytes, version, first_byte, ids, nids)
    else:
        if not make_room(f, publish_bound(d.topic_len, d.props_len, d.payload_len, nids)):
            return False
        f.n = put_head(f.bytes, version, first_byte, d.topic, d.topic_len, 0, 0, d.props, d.props_len, ids, nids,
                       d.has_expiry, d.expiry, d.payload_len)
        memcpy(f.bytes + f.n, d.payload, d.payload_len)
        f.n += d.payload_len
    f.of = d.number
    f.first_byte = first_byte
    return True


cdef bint make_room(EncodedPublish* f, size_t n) noexcept nogil:
    n += WIDEST  # `write_over` writes that many bytes wherever identifiers begin
    if n <= f.cap:
        return True
    free(f.bytes)
    f.bytes = <uint8_t*>malloc(n)
    f.cap = n if f.bytes != NULL else 0
    return f.bytes != NULL


cdef void write_over(EncodedPublish* f, bint even, uint64_t identifiers, size_t width) noexcept nogil:
    """Puts other identifiers of the same size into each packet. `even`: the packets are equally long."""
    cdef size_t at = 0, until, header = 0, body = 0
    cdef uint64_t word, others = ~<uint64_t>0
    cdef uint8_t* packet = f.bytes
    cdef uint8_t* end = f.bytes + f.n
    memset(&others, 0, width)
    while packet < end:
        frame(packet, <size_t>(end - packet), &header, &body)
        at = header + f.identifiers_at
        until = f.n if even else header + body
        while at < until:
            memcpy(&word, packet + at, sizeof(word))
            word = (word & others) | identifiers
            memcpy(packet + at, &word, sizeof(word))
            at += header + body
        packet += until


cdef void free_encodings(EncodedPublish* kept) noexcept nogil:
    cdef int i
    for i in range(ENCODINGS):
        free(kept[i].bytes)
