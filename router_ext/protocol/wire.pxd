"""The integers of MQTT and the fixed header. All inline: there is no module to import at run time."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15

cdef enum:
    MQTT_3_1 = 3
    MQTT_3_1_1 = 4
    MQTT_5 = 5

cdef enum:
    MAX_VARINT = 268435455

# Reason codes a decoder gives.
cdef enum:
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    TOPIC_ALIAS_INVALID = 0x94
    QUOTA_EXCEEDED = 0x97

cdef inline uint16_t get_u16(const uint8_t* p) noexcept nogil:
    return <uint16_t>((p[0] << 8) | p[1])

cdef inline uint32_t get_u32(const uint8_t* p) noexcept nogil:
    return (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]

cdef inline void put_u16(uint8_t* dst, uint16_t v) noexcept nogil:
    dst[0] = <uint8_t>(v >> 8)
    dst[1] = <uint8_t>(v & 0xFF)

cdef inline size_t put_u32(uint8_t* dst, uint32_t v) noexcept nogil:
    put_u16(dst, <uint16_t>(v >> 16))
    put_u16(dst + 2, <uint16_t>(v & 0xFFFF))
    return 4

cdef inline size_t varint_size(uint32_t v) noexcept nogil:
    return 1 if v < 128 else 2 if v < 16384 else 3 if v < 2097152 else 4

cdef inline size_t put_varint(uint8_t* dst, uint32_t v) noexcept nogil:
    """Writes `v` (at most MAX_VARINT) and returns how many bytes that took."""
    cdef size_t i = 0
    while v >= 0x80:
        dst[i] = <uint8_t>((v & 0x7F) | 0x80)
        v >>= 7
        i += 1
    dst[i] = <uint8_t>v
    return i + 1

cdef inline int get_varint(const uint8_t* p, size_t n, uint32_t* out) noexcept nogil:
    """Bytes taken; 0 when `n` bytes end before it does; -1 when it has a fifth byte."""
    cdef size_t i
    cdef uint32_t v = 0
    if n and p[0] < 0x80:
        out[0] = p[0]
        return 1
    for i in range(4):
        if i == n:
            return 0
        v |= <uint32_t>(p[i] & 0x7F) << (7 * i)
        if p[i] < 0x80:
            out[0] = v
            return <int>(i + 1)
    return -1

cdef inline int frame(const uint8_t* p, size_t n, size_t* header, size_t* body) noexcept nogil:
    """1 when a whole fixed header is there (its length, and the length of what follows it), 0 when more bytes
    are needed, -1 when the Remaining Length runs past four bytes (section 2.1.4; 3.1.1: 2.2.3)."""
    cdef uint32_t length = 0
    cdef int used
    if n < 2:
        return 0
    used = get_varint(p + 1, n - 1, &length)
    if used <= 0:
        return used
    header[0] = <size_t>(1 + used)
    body[0] = length
    return 1

cdef inline bint shortest(size_t header, size_t body) noexcept nogil:
    """[MQTT-1.5.5-1] MQTT 5 forbids a Remaining Length padded with zero groups; MQTT 3 does not."""
    return header == 1 + varint_size(<uint32_t>body)

cdef inline bint flags_valid(uint8_t first_byte, uint8_t version) noexcept nogil:
    """[MQTT-2.1.3-1] The reserved flags of every type but PUBLISH. MQTT 3.1 lets clients repeat PUBREL,
    SUBSCRIBE and UNSUBSCRIBE with DUP set and gives the other bits no meaning: there they are ignored."""
    cdef uint8_t packet = first_byte >> 4
    if packet == PUBREL or packet == SUBSCRIBE or packet == UNSUBSCRIBE:
        return (first_byte & 0x0F) == 2 or version == MQTT_3_1
    return packet == PUBLISH or (first_byte & 0x0F) == 0 or (version == MQTT_3_1 and packet != CONNECT)
