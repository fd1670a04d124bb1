"""Deliveries and the encoding of outgoing PUBLISH packets (MQTT 3.1.1 and 5.0, section 3.3). No Python objects."""

from libc.string cimport memcpy

from router_ext.protocol.codec cimport put_varint, varint_size
from router_ext.protocol.wire cimport frame, put_u32
from router_ext.message.message cimport (
    MSG_HAS_EXPIRY, MSG_RETAIN, MSG_SYS, msg_client, msg_new, msg_payload, msg_props, msg_remaining, msg_topic,
)

cdef enum:
    PROP_MESSAGE_EXPIRY = 0x02
    PROP_SUBSCRIPTION_ID = 0x0B
    PROP_TOPIC_ALIAS = 0x23


cdef Msg* delivery_msg(Delivery* d) noexcept nogil:
    """The message of a delivery of one, made at the first call; NULL when memory is out. From then on it owns `block`."""
    cdef const uint8_t* payload = d.payload
    cdef size_t n = d.payload_len
    if d.msg != NULL:
        return d.msg
    if d.block != NULL:
        payload = <const uint8_t*>&d.block
        n = sizeof(d.block)
    d.msg = msg_new(d.topic, d.topic_len, d.props, d.props_len, payload, n, d.client, d.client_len,
                    d.qos, (MSG_RETAIN if d.retain else 0) | (MSG_HAS_EXPIRY if d.has_expiry else 0)
                    | (MSG_SYS if d.sys else 0), d.expiry, d.now)
    if d.block != NULL and d.msg != NULL:
        d.msg.payload_len = d.payload_len
        d.msg.lead = <uint16_t>(d.payload - d.block)
    return d.msg


cdef void delivery_of(Delivery* d, Msg* msg, int64_t now) noexcept nogil:
    """Fills `d` with a stored message; it borrows the caller's reference."""
    d.topic = msg_topic(msg)
    d.topic_len = msg.topic_len
    d.props = msg_props(msg)
    d.props_len = msg.props_len
    d.payload = msg_payload(msg)
    d.payload_len = msg.payload_len
    d.client = msg_client(msg)
    d.client_len = msg.client_len
    d.frames = NULL
    d.block = NULL
    d.frames_len = d.longest = d.payload_at = 0
    d.even = d.verbatim = False
    d.match = NULL
    d.msg = msg
    d.now = now
    d.count = 1
    d.version = 0
    d.qos = msg.qos
    d.retain = (msg.flags & MSG_RETAIN) != 0
    d.has_expiry = (msg.flags & MSG_HAS_EXPIRY) != 0
    d.expiry = msg_remaining(msg, now) if d.has_expiry else 0
    d.sys = (msg.flags & MSG_SYS) != 0


cdef size_t publish_bound(uint16_t topic_len, uint32_t props_len, uint32_t payload_len, uint32_t nids) noexcept nogil:
    """At least as many bytes as the PUBLISH takes in any version."""
    return <size_t>topic_len + props_len + payload_len + 5 * nids + 26


cdef bint delivery_next(Delivery* d, size_t* pos, const uint8_t** payload, uint32_t* n) noexcept nogil:
    """Walks the payloads of a run: `pos` begins at 0; False behind the last."""
    cdef size_t header = 0, body = 0
    if pos[0] >= d.frames_len:
        return False
    frame(d.frames + pos[0], d.frames_len - pos[0], &header, &body)
    payload[0] = d.frames + pos[0] + header + d.payload_at
    n[0] = <uint32_t>(body - d.payload_at)
    pos[0] += header + body
    return True


cdef size_t run_bound(Delivery* d, uint32_t nids) noexcept nogil:
    """At least as many bytes as the run takes in any version."""
    return d.frames_len + d.count * publish_bound(d.topic_len, d.props_len, 0, nids)


cdef size_t put_run(Delivery* d, uint8_t* dst, uint8_t version, uint8_t first_byte, const uint32_t* ids,
                    uint32_t nids) noexcept nogil:
    """Writes the run for subscribers of another kind: the variable header is encoded once and copied."""
    cdef size_t at = 0, pos = 0, fixed = 0, variable = 0
    cdef const uint8_t* payload = NULL
    cdef const uint8_t* encoded = NULL
    cdef uint32_t n = 0
    while delivery_next(d, &pos, &payload, &n):
        if encoded == NULL:
            at = put_head(dst, version, first_byte, d.topic, d.topic_len, 0, 0, d.props, d.props_len, ids, nids,
                          d.has_expiry, d.expiry, n)
            frame(dst, at, &fixed, &variable)
            encoded = dst + fixed
            variable = at - fixed
        else:
            dst[at] = first_byte
            at += 1 + put_varint(dst + at + 1, <uint32_t>variable + n)
            memcpy(dst + at, encoded, variable)
            at += variable
        memcpy(dst + at, payload, n)
        at += n
    return at


cdef size_t put_head(uint8_t* dst, uint8_t version, uint8_t first_byte, const uint8_t* topic, uint16_t topic_len,
                     uint16_t packet_id, uint16_t alias, const uint8_t* props, uint32_t props_len,
                     const uint32_t* ids, uint32_t nids,
                     bint has_expiry, uint32_t expiry, uint32_t payload_len) noexcept nogil:
    """Writes all of a PUBLISH but its payload. `packet_id` and `alias`: 0 for none. Returns the bytes written."""
    cdef uint32_t remaining = 2 + topic_len + payload_len, props_total = 0, i
    cdef size_t at = 1
    if packet_id:
        remaining += 2
    if version == 5:
        props_total = props_len + (5 if has_expiry else 0) + (3 if alias else 0)
        for i in range(nids):
            props_total += 1 + <uint32_t>varint_size(ids[i])
        remaining += props_total + <uint32_t>varint_size(props_total)
    dst[0] = first_byte
    at += put_varint(dst + at, remaining)
    at += put_u16(dst + at, topic_len)
    memcpy(dst + at, topic, topic_len)
    at += topic_len
    if packet_id:
        at += put_u16(dst + at, packet_id)
    if version != 5:
        return at
    at += put_varint(dst + at, props_total)
    if has_expiry:
        dst[at] = PROP_MESSAGE_EXPIRY
        at += 1 + put_u32(dst + at + 1, expiry)
    if alias:
        dst[at] = PROP_TOPIC_ALIAS
        at += 1 + put_u16(dst + at + 1, alias)
    at += put_identifiers(dst + at, ids, nids)
    if props_len:
        memcpy(dst + at, props, props_len)
    return at + props_len


cdef size_t put_identifiers(uint8_t* dst, const uint32_t* ids, uint32_t nids) noexcept nogil:
    """Writes Subscription Identifier properties and returns how many bytes that took."""
    cdef size_t at = 0
    cdef uint32_t i
    for i in range(nids):
        dst[at] = PROP_SUBSCRIPTION_ID
        at += 1 + put_varint(dst + at + 1, ids[i])
    return at


cdef inline size_t put_u16(uint8_t* dst, uint16_t v) noexcept nogil:
    dst[0] = <uint8_t>(v >> 8)
    dst[1] = <uint8_t>v
    return 2
