"""Packets from bytes and to bytes, for MQTT 3.1, 3.1.1 and 5.0."""

from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memcpy

from router_ext.protocol.properties cimport (
    PUBLISH_OUT, WILL, Property, admit, check_properties, count_pairs, next_property, properties_bytes,
    properties_dict,
)
from router_ext.protocol.topic cimport filter_valid, name_valid, utf8_valid
from router_ext.protocol.wire cimport (
    AUTH, CONNACK, CONNECT, DISCONNECT, MALFORMED_PACKET, MAX_VARINT, MQTT_3_1, MQTT_3_1_1, MQTT_5, PINGREQ,
    PINGRESP, PROTOCOL_ERROR, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, QUOTA_EXCEEDED, SUBACK, SUBSCRIBE,
    TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID, UNSUBACK, UNSUBSCRIBE, UNSUPPORTED_PROTOCOL_VERSION, get_u16,
    get_varint,
)

from router_ext.protocol import packets
from router_ext.protocol.topic import split_share

# Python code finds the records here too. An import statement would not do: here their names are C types.
globals().update((kind.__name__, kind) for kind in vars(packets).values() if isinstance(kind, type))


class PacketError(Exception):
    """A packet the peer should not have sent. `reason_code` is MQTT 5's; `version` is the protocol level to
    answer in, 0 when a CONNECT broke off before saying."""

    def __init__(self, reason_code, message, version=0):
        super().__init__(message)
        self.reason_code = reason_code
        self.version = version


class MalformedPacket(PacketError):
    """It cannot be parsed."""


class ProtocolViolation(PacketError):
    """It can be parsed, but holds what it may not hold."""


class UnsupportedVersion(PacketError):
    """A CONNECT with a protocol level that is not served; `version` is that level."""


# The reason codes a packet may carry (2.4). SUBACK before MQTT 5: [MQTT-3.9.3-2] of 3.1.1.
_RECEIVED = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_REASONS = {
    CONNACK: frozenset((0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F)),
    PUBACK: frozenset(_RECEIVED),
    PUBREC: frozenset(_RECEIVED),
    PUBREL: frozenset((0x00, 0x92)),
    PUBCOMP: frozenset((0x00, 0x92)),
    SUBACK: frozenset((0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)),
    UNSUBACK: frozenset((0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91)),
    DISCONNECT: frozenset((0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, *range(0x8B, 0xA3))) - {0x91, 0x92},
    AUTH: frozenset((0x00, 0x18, 0x19)),
}
_RETURN_CODES = frozenset(range(6))          # CONNACK of MQTT 3
_GRANTED = frozenset((0, 1, 2, 0x80))        # SUBACK of MQTT 3

cdef uint8_t ack_reason[256]                 # bit n: may stand in the acknowledgement of type PUBACK + n


def _fill():
    for code in range(256):
        ack_reason[<int>code] = sum((code in _REASONS[PUBACK + n]) << n for n in range(4))


_fill()


# ---- the ordinary message: no Python object

cdef enum:
    EACH = 0x0101010101010101


cdef inline bint odd_bytes(uint64_t v) noexcept nogil:
    """Whether one of eight bytes is 0, `+`, `#` or beyond ASCII. `+` and `#` differ in bit 3 only."""
    cdef uint64_t wild = (v | <uint64_t>EACH * 0x08) ^ <uint64_t>EACH * 0x2B
    return (v | ((v - EACH) & ~v) | ((wild - EACH) & ~wild)) & (<uint64_t>EACH << 7) != 0


cdef inline bint plain_name(const uint8_t* s, size_t n) noexcept nogil:
    """True for a valid topic name in ASCII, as nearly all are: seen without a call, eight bytes a step, the last
    step overlapping the one before. False says nothing."""
    cdef size_t i = 0
    cdef uint64_t v
    cdef uint32_t low, high
    if n >= 8:
        while i + 8 < n:
            memcpy(&v, s + i, 8)
            if odd_bytes(v):
                return False
            i += 8
        memcpy(&v, s + n - 8, 8)
        return not odd_bytes(v)
    if n >= 4:
        memcpy(&low, s, 4)
        memcpy(&high, s + n - 4, 4)
        return not odd_bytes(<uint64_t>high << 32 | low)
    return False


cdef inline int read_message_properties(const uint8_t* p, size_t n, uint8_t packet,
                                        Publish* out) noexcept nogil:
    """0 or a reason code; sets the fields of `out` that come from properties."""
    cdef Property property
    cdef uint64_t seen = 0
    cdef size_t at = 0
    cdef int used, refused
    while at < n:
        used = next_property(p + at, n - at, &property)
        if used < 0:
            return -used
        refused = admit(&property, packet, &seen)
        if refused:
            return refused
        if property.id == 0x23:
            out.topic_alias = <uint16_t>property.number
            out.forward_as_is = False
        elif property.id == 0x02:
            out.expiry = property.number
            out.has_expiry = True
            out.forward_as_is = False
        at += used
    return 0


cdef inline int read_publish(const uint8_t* body, size_t n, uint8_t first_byte, uint8_t version,
                             uint8_t packet, Publish* out) noexcept nogil:
    cdef size_t at
    cdef uint32_t length
    cdef int used, refused
    out.flags = first_byte & 0x0F
    out.dup = (first_byte >> 3) & 1
    out.qos = (first_byte >> 1) & 3
    out.retain = first_byte & 1
    if out.qos == 3 or (out.dup and out.qos == 0):  # [MQTT-3.3.1-4] [MQTT-3.3.1-2]
        return MALFORMED_PACKET
    if n < 2:
        return MALFORMED_PACKET
    out.topic = body + 2
    out.topic_len = get_u16(body)
    at = 2 + <size_t>out.topic_len
    out.packet_id = 0
    if out.qos:
        if n < at + 2:
            return MALFORMED_PACKET
        out.packet_id = get_u16(body + at)
        at += 2
        if out.packet_id == 0:  # [MQTT-2.2.1-3]
            return PROTOCOL_ERROR
    elif n < at:
        return MALFORMED_PACKET
    out.props = body + at
    out.props_len = 0
    out.topic_alias = 0
    out.expiry = 0
    out.has_expiry = False
    out.forward_as_is = True
    if version == MQTT_5:
        used = get_varint(body + at, n - at, &length)
        if used <= 0 or <size_t>used != varint_size(length) or n - at - used < length:
            return MALFORMED_PACKET
        out.props += used
        out.props_len = length
        at += used + length
        if length:
            refused = read_message_properties(out.props, length, packet, out)
            if refused:
                return refused
    out.payload = body + at
    out.payload_len = <uint32_t>(n - at)
    if plain_name(out.topic, out.topic_len) or name_valid(out.topic, out.topic_len):
        return 0
    if out.topic_len == 0:
        return 0 if out.topic_alias else PROTOCOL_ERROR  # 3.3.2.1
    return TOPIC_NAME_INVALID if utf8_valid(out.topic, out.topic_len) else MALFORMED_PACKET  # [MQTT-3.3.2-2]


cdef int parse_publish(const uint8_t* body, size_t n, uint8_t first_byte, uint8_t version,
                       Publish* out) noexcept nogil:
    """Takes a client's PUBLISH apart; 0, or the reason code why it is refused."""
    return read_publish(body, n, first_byte, version, PUBLISH, out)


cdef int parse_ack(const uint8_t* body, size_t n, uint8_t version, uint16_t* packet_id,
                   uint8_t* reason) noexcept nogil:
    """PUBACK, PUBREC, PUBREL or PUBCOMP: 0, or the reason code why it is refused. Whether `reason` belongs to the
    type at hand is for `ack_reason_valid`."""
    cdef uint32_t length
    cdef int used
    if n < 2 or (n > 2 and version != MQTT_5):
        return MALFORMED_PACKET
    packet_id[0] = get_u16(body)
    reason[0] = 0
    if packet_id[0] == 0:
        return PROTOCOL_ERROR
    if n == 2:
        return 0
    reason[0] = body[2]
    if not ack_reason[body[2]]:
        return PROTOCOL_ERROR
    if n == 3:  # 3.4.2.2.1: no property length below 4
        return 0
    used = get_varint(body + 3, n - 3, &length)
    if used <= 0 or <size_t>used != varint_size(length) or n - 3 - used != length:
        return MALFORMED_PACKET
    return check_properties(body + 3 + used, length, PUBACK)


cdef bint ack_reason_valid(uint8_t packet, uint8_t reason) noexcept nogil:
    """[MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]"""
    return (ack_reason[reason] >> (packet - PUBACK)) & 1


# ---- reading records

cdef enum:
    MOST_PAIRS = 1000

cdef struct Cursor:
    const uint8_t* at
    const uint8_t* end
    uint8_t version
    bint received              # from a client, by the server: see `take_properties`


cdef object malformed(Cursor* c, str message):
    return MalformedPacket(MALFORMED_PACKET, message, c.version)


cdef object violation(Cursor* c, str message, int reason_code=PROTOCOL_ERROR):
    return ProtocolViolation(reason_code, message, c.version)


cdef object refusal(Cursor* c, int reason_code, str where):
    if reason_code == MALFORMED_PACKET:
        return malformed(c, f"malformed {where}")
    return violation(c, f"{where}: reason code 0x{reason_code:02X}", reason_code)


cdef int take_byte(Cursor* c) except -1:
    if c.at == c.end:
        raise malformed(c, "packet cut short")
    c.at += 1
    return (c.at - 1)[0]


cdef int take_u16(Cursor* c) except -1:
    if c.end - c.at < 2:
        raise malformed(c, "packet cut short")
    c.at += 2
    return get_u16(c.at - 2)


cdef int take_packet_id(Cursor* c) except -1:
    cdef int packet_id = take_u16(c)
    if packet_id == 0:  # [MQTT-2.2.1-3]
        raise violation(c, "packet identifier 0")
    return packet_id


cdef const uint8_t* take_field(Cursor* c, Py_ssize_t* length) except NULL:
    """A length-prefixed field: where it begins, and its length."""
    length[0] = take_u16(c)
    if c.end - c.at < length[0]:
        raise malformed(c, "packet cut short")
    c.at += length[0]
    return c.at - length[0]


cdef const uint8_t* take_utf8(Cursor* c, Py_ssize_t* length) except NULL:
    cdef const uint8_t* text = take_field(c, length)
    if not utf8_valid(text, length[0]):  # [MQTT-1.5.4-1] [MQTT-1.5.4-2]
        raise malformed(c, "invalid UTF-8")
    return text


cdef str take_text(Cursor* c):
    cdef Py_ssize_t length
    cdef const uint8_t* text = take_utf8(c, &length)
    return text[:length].decode("utf-8")


cdef bytes take_binary(Cursor* c):
    cdef Py_ssize_t length
    cdef const uint8_t* data = take_field(c, &length)
    return data[:length]


cdef dict take_properties(Cursor* c, uint8_t packet):
    """The properties with their length prefix; none before MQTT 5.

    A packet may hold 200,000 User Properties, each of which would be three objects. Those that a client sends mean nothing
    to the server and are not read, but for those of a will, which may have MOST_PAIRS."""
    cdef uint32_t length
    cdef int used, refused
    if c.version != MQTT_5:
        return {}
    used = get_varint(c.at, c.end - c.at, &length)
    if used <= 0 or <size_t>used != varint_size(length) or <size_t>(c.end - c.at) < used + length:
        raise malformed(c, "malformed property length")
    c.at += used
    refused = check_properties(c.at, length, packet)
    if refused:
        raise refusal(c, refused, "properties")
    c.at += length
    if c.received and packet == WILL and count_pairs(c.at - length, length) > MOST_PAIRS:
        raise violation(c, f"a will with more than {MOST_PAIRS} user properties", QUOTA_EXCEEDED)
    return properties_dict(c.at - length, length, not c.received or packet == WILL)


cdef int take_end(Cursor* c) except -1:
    if c.at != c.end:
        raise malformed(c, "bytes after the end of the packet")
    return 0


cdef int take_reason(Cursor* c, int packet) except -1:
    cdef int code = take_byte(c)
    if code not in _REASONS[packet]:
        raise violation(c, f"reason code 0x{code:02X} in packet type {packet}")
    return code


cdef Connect read_connect(Cursor* c):
    cdef Connect packet = Connect.__new__(Connect)
    cdef int flags
    read_protocol(c, packet)
    flags = take_byte(c)
    check_connect_flags(c, flags)
    packet.clean_start = (flags & 0x02) != 0  # a bint keeps whatever it is given
    packet.keepalive = take_u16(c)
    packet.properties = take_properties(c, CONNECT)
    if "authentication_data" in packet.properties and "authentication_method" not in packet.properties:
        raise violation(c, "authentication data without a method")  # 3.1.2.11.10
    packet.client_id = take_text(c)
    if flags & 0x04:
        packet.will = read_will(c, flags)
    # MQTT 3.1, section 3.1: the remaining length takes precedence over these two flags.
    if flags & 0x80 and not (c.version == MQTT_3_1 and c.at == c.end):
        packet.username = take_text(c)
    if flags & 0x40 and not (c.version == MQTT_3_1 and c.at == c.end):
        packet.password = take_binary(c)
    take_end(c)
    return packet


cdef int read_protocol(Cursor* c, Connect packet) except -1:
    """Protocol name and level, with the bridge bit taken off."""
    cdef Py_ssize_t length
    cdef const uint8_t* name = take_field(c, &length)
    cdef int level
    if length == 4 and memcmp(name, b"MQTT", 4) == 0:
        packet.proto_name = "MQTT"
    elif length == 6 and memcmp(name, b"MQIsdp", 6) == 0:
        packet.proto_name = "MQIsdp"
    else:
        raise violation(c, "not an MQTT protocol name")  # [MQTT-3.1.2-1]
    level = take_byte(c)
    packet.is_bridge = (level & 0x80) != 0
    level &= 0x7F
    if not (level in (MQTT_3_1_1, MQTT_5) if length == 4 else level == MQTT_3_1):
        # [MQTT-3.1.2-2]
        raise UnsupportedVersion(UNSUPPORTED_PROTOCOL_VERSION, f"protocol level {level}", level)
    packet.proto_ver = c.version = <uint8_t>level
    return 0


cdef int check_connect_flags(Cursor* c, int flags) except -1:
    if (flags >> 3) & 3 == 3:  # [MQTT-3.1.2-12]
        raise malformed(c, "will QoS 3")
    if flags & 0x40 and not flags & 0x80 and c.version != MQTT_5:  # [MQTT-3.1.2-22] of 3.1.1
        raise violation(c, "password without user name")
    if c.version == MQTT_3_1:
        return 0  # gives the bits below no meaning
    if flags & 0x01:  # [MQTT-3.1.2-3]
        raise malformed(c, "reserved connect flag")
    if not flags & 0x04 and flags & 0x38:  # [MQTT-3.1.2-11] [MQTT-3.1.2-13]
        raise malformed(c, "will QoS or retain without a will")
    return 0


cdef Will read_will(Cursor* c, int flags):
    cdef Will will = Will.__new__(Will)
    cdef Py_ssize_t length
    cdef const uint8_t* topic
    will.qos = (flags >> 3) & 3
    will.retain = (flags & 0x20) != 0
    will.properties = take_properties(c, WILL)
    topic = take_utf8(c, &length)
    if not name_valid(topic, length):
        raise violation(c, "will topic", TOPIC_NAME_INVALID)
    will.topic = topic[:length].decode("utf-8")
    will.payload = take_binary(c)
    return will


cdef Connack read_connack(Cursor* c):
    cdef Connack packet = Connack.__new__(Connack)
    cdef int flags = take_byte(c)
    if flags > 1:  # [MQTT-3.2.2-1]
        raise malformed(c, "reserved connack flags")
    packet.session_present = flags
    if c.version == MQTT_5:
        packet.reason_code = take_reason(c, CONNACK)
    else:
        packet.reason_code = take_byte(c)
        if packet.reason_code not in _RETURN_CODES:
            raise violation(c, "unknown return code")
    packet.properties = take_properties(c, CONNACK)
    take_end(c)
    return packet


cdef PublishPacket read_publish_packet(Cursor* c, uint8_t first_byte, uint8_t packet_type):
    cdef PublishPacket packet = PublishPacket.__new__(PublishPacket)
    cdef Publish found
    cdef int refused = read_publish(c.at, c.end - c.at, first_byte, c.version, packet_type, &found)
    if refused:
        raise refusal(c, refused, "PUBLISH")
    packet.topic = found.topic[:found.topic_len].decode("utf-8")
    packet.payload = found.payload[:found.payload_len]
    packet.qos = found.qos
    packet.retain = found.retain
    packet.dup = found.dup
    packet.packet_id = found.packet_id
    packet.properties = properties_dict(found.props, found.props_len)
    return packet


cdef Ack read_ack(Cursor* c, int packet_type):
    cdef Ack packet = Ack.__new__(Ack)
    cdef uint16_t packet_id
    cdef uint8_t reason
    cdef int refused = parse_ack(c.at, c.end - c.at, c.version, &packet_id, &reason)
    if refused:
        raise refusal(c, refused, "acknowledgement")
    packet.type = packet_type
    packet.packet_id = packet_id
    c.at += 2
    packet.reason_code = 0 if c.at == c.end else take_reason(c, packet_type)
    packet.properties = {} if c.at == c.end else take_properties(c, packet_type)
    return packet


cdef str take_filter(Cursor* c):
    """A topic filter as sent; one for a shared subscription is checked without its prefix."""
    cdef Py_ssize_t length
    cdef const uint8_t* text = take_utf8(c, &length)
    cdef str name = text[:length].decode("utf-8")
    cdef bytes bare
    cdef bint valid
    if length and text[0] == b"$":
        try:
            bare = split_share(name)[1].encode()
        except ValueError as error:  # [MQTT-4.8.2-1] [MQTT-4.8.2-2]
            raise violation(c, str(error), TOPIC_FILTER_INVALID) from None
        valid = filter_valid(bare, len(bare))
    else:
        valid = filter_valid(text, length)
    if not valid:  # [MQTT-4.7.1-1] [MQTT-4.7.3-1]
        raise violation(c, f"topic filter {name!r}", TOPIC_FILTER_INVALID)
    return name


cdef int take_options(Cursor* c, str name) except -1:
    """The option byte after a topic filter."""
    cdef int options = take_byte(c)
    if c.version == MQTT_3_1:
        options &= 0x03  # the other bits have no meaning there
    elif options & (0xC0 if c.version == MQTT_5 else 0xFC):  # [MQTT-3.8.3-5]
        raise malformed(c, "reserved subscription options")
    if options & 0x03 == 3 or options & 0x30 == 0x30:  # [MQTT-3.8.3-4] of 3.1.1, 3.8.3.1
        raise violation(c, "subscription options")
    if options & 0x04 and name.startswith(("$share/", "$queue/")):  # [MQTT-3.8.3-4]
        raise violation(c, "no local on a shared subscription")
    return options


cdef Subscribe read_subscribe(Cursor* c):
    cdef Subscribe packet = Subscribe.__new__(Subscribe)
    cdef str name
    packet.packet_id = take_packet_id(c)
    packet.properties = take_properties(c, SUBSCRIBE)
    packet.filters = []
    while c.at != c.end:
        name = take_filter(c)
        packet.filters.append((name, take_options(c, name)))
    if not packet.filters:  # [MQTT-3.8.3-2]
        raise violation(c, "SUBSCRIBE without a topic filter")
    return packet


cdef Unsubscribe read_unsubscribe(Cursor* c):
    cdef Unsubscribe packet = Unsubscribe.__new__(Unsubscribe)
    packet.packet_id = take_packet_id(c)
    packet.properties = take_properties(c, UNSUBSCRIBE)
    packet.filters = []
    while c.at != c.end:
        packet.filters.append(take_filter(c))
    if not packet.filters:  # [MQTT-3.10.3-2]
        raise violation(c, "UNSUBSCRIBE without a topic filter")
    return packet


cdef list take_codes(Cursor* c, known):
    cdef list codes = list(c.at[:c.end - c.at])
    if not codes:
        raise violation(c, "no reason codes")
    if not known.issuperset(codes):
        raise violation(c, "unknown reason code")
    return codes


cdef Suback read_suback(Cursor* c):
    cdef Suback packet = Suback.__new__(Suback)
    packet.packet_id = take_packet_id(c)
    packet.properties = take_properties(c, SUBACK)
    packet.reason_codes = take_codes(c, _REASONS[SUBACK] if c.version == MQTT_5 else _GRANTED)
    return packet


cdef Unsuback read_unsuback(Cursor* c):
    cdef Unsuback packet = Unsuback.__new__(Unsuback)
    packet.packet_id = take_packet_id(c)
    packet.properties = take_properties(c, UNSUBACK)
    packet.reason_codes = []
    if c.version == MQTT_5:
        packet.reason_codes = take_codes(c, _REASONS[UNSUBACK])
    else:
        take_end(c)
    return packet


cdef Disconnect read_disconnect(Cursor* c):
    cdef Disconnect packet = Disconnect.__new__(Disconnect)
    packet.properties = {}
    if c.version != MQTT_5:
        take_end(c)
    elif c.at != c.end:
        packet.reason_code = take_reason(c, DISCONNECT)
        if c.at != c.end:  # 3.14.2.2.1: no property length below 2
            packet.properties = take_properties(c, DISCONNECT)
        take_end(c)
    return packet


cdef Auth read_auth(Cursor* c):
    cdef Auth packet = Auth.__new__(Auth)
    packet.properties = {}
    if c.version != MQTT_5:
        raise malformed(c, "packet type 15 before MQTT 5")
    if c.at != c.end:  # 3.15.2.1: both fields may be left out, but only together
        packet.reason_code = take_reason(c, AUTH)
        packet.properties = take_properties(c, AUTH)
        if "authentication_method" not in packet.properties:  # 3.15.2.2.2
            raise violation(c, "AUTH without a method")
    take_end(c)
    return packet


cdef object read_packet(Cursor* c, uint8_t first_byte, uint8_t publish_type):
    cdef int packet = first_byte >> 4
    if not flags_valid(first_byte, c.version):
        raise malformed(c, f"reserved flags of packet type {packet}")
    if packet == CONNECT:
        c.version = 0
        return read_connect(c)
    if packet == CONNACK:
        return read_connack(c)
    if packet == PUBLISH:
        return read_publish_packet(c, first_byte, publish_type)
    if PUBACK <= packet <= PUBCOMP:
        return read_ack(c, packet)
    if packet == SUBSCRIBE:
        return read_subscribe(c)
    if packet == SUBACK:
        return read_suback(c)
    if packet == UNSUBSCRIBE:
        return read_unsubscribe(c)
    if packet == UNSUBACK:
        return read_unsuback(c)
    if packet == PINGREQ or packet == PINGRESP:
        take_end(c)
        return Pingreq() if packet == PINGREQ else Pingresp()
    if packet == DISCONNECT:
        return read_disconnect(c)
    if packet == AUTH:
        return read_auth(c)
    raise violation(c, "packet type 0")


cdef object decode_raw(const uint8_t* body, size_t n, uint8_t first_byte, uint8_t version):
    """The record of a packet a client sent; `body` is what follows the fixed header. Raises PacketError."""
    cdef Cursor c = Cursor(body, body + n, version, True)
    return read_packet(&c, first_byte, PUBLISH)


def decode(int first_byte, const uint8_t[::1] body, int version, bint from_server=False):
    """The record of one packet: its first byte, and what follows its fixed header. Raises PacketError.

    `version` is ignored for a CONNECT. A PUBLISH may hold Subscription Identifiers only `from_server`."""
    cdef size_t n = body.shape[0]
    cdef const uint8_t* p = &body[0] if n else NULL
    cdef Cursor c = Cursor(p, p + n, version, False)
    return read_packet(&c, first_byte, PUBLISH_OUT if from_server else PUBLISH)


def frame_lengths(const uint8_t[::1] data, int version=MQTT_3_1_1):
    """(length of the fixed header, length of what follows) of the packet `data` begins with, None when the
    header is incomplete. Raises MalformedPacket."""
    cdef size_t header, body, n = data.shape[0]
    cdef int found = frame(&data[0] if n else NULL, n, &header, &body)
    if found < 0 or (found and version == MQTT_5 and not shortest(header, body)):
        raise MalformedPacket(MALFORMED_PACKET, "malformed remaining length", version)
    return (header, body) if found else None


def decode_properties(const uint8_t[::1] data):
    """Properties by name, from their encoding without its length prefix. Raises MalformedPacket."""
    cdef size_t n = data.shape[0]
    try:
        return properties_dict(&data[0] if n else NULL, n)
    except ValueError as error:
        raise MalformedPacket(MALFORMED_PACKET, str(error), MQTT_5) from None


# ---- writing

def encode_properties(dict properties not None, int packet_type):
    """Properties without their length prefix. ValueError for one that is unknown or has no place in the packet."""
    return properties_bytes(properties, PUBLISH_OUT if packet_type == PUBLISH else packet_type)


cdef bytes varint(size_t value):
    cdef uint8_t buffer[4]
    if value > MAX_VARINT:
        raise ValueError("a packet holds at most 268435455 bytes")
    return buffer[:put_varint(buffer, <uint32_t>value)]


cdef bytes whole(int first_byte, bytes body):
    return bytes((first_byte,)) + varint(len(body)) + body


cdef bytes u16(int value):
    return value.to_bytes(2, "big")


cdef bytes binary(bytes data):
    if len(data) > 0xFFFF:
        raise ValueError("a string or binary field holds at most 65535 bytes")
    return u16(len(data)) + data


cdef bytes text(str value):
    return binary(value.encode())


cdef bytes prefixed(dict properties, uint8_t packet, int version):
    """Properties with their length prefix; nothing before MQTT 5."""
    cdef bytes encoded
    if version != MQTT_5:
        return b""
    encoded = properties_bytes(properties, packet) if properties else b""
    return varint(len(encoded)) + encoded


cdef bytes encode_connect(Connect packet):
    cdef Will will = packet.will
    cdef int version = packet.proto_ver
    cdef int flags = packet.clean_start << 1
    if will is not None:
        flags |= 0x04 | will.qos << 3 | will.retain << 5
    flags |= (packet.password is not None) << 6 | (packet.username is not None) << 7
    parts = [text(packet.proto_name), bytes((version | packet.is_bridge << 7, flags)), u16(packet.keepalive),
             prefixed(packet.properties, CONNECT, version), text(packet.client_id)]
    if will is not None:
        parts += [prefixed(will.properties, WILL, version), text(will.topic), binary(will.payload)]
    if packet.username is not None:
        parts.append(text(packet.username))
    if packet.password is not None:
        parts.append(binary(packet.password))
    return whole(CONNECT << 4, b"".join(parts))


cdef bytes encode_publish(PublishPacket packet, int version):
    cdef int first_byte = PUBLISH << 4 | packet.dup << 3 | packet.qos << 1 | packet.retain
    return whole(first_byte, text(packet.topic) + (u16(packet.packet_id) if packet.qos else b"")
                 + prefixed(packet.properties, PUBLISH_OUT, version) + packet.payload)


cdef bytes encode_ack(Ack packet, int version):
    cdef int first_byte = packet.type << 4 | (2 if packet.type == PUBREL else 0)
    cdef bytes body = u16(packet.packet_id)
    if version == MQTT_5 and (packet.reason_code or packet.properties):
        body += bytes((packet.reason_code,))
        if packet.properties:
            body += prefixed(packet.properties, packet.type, version)
    return whole(first_byte, body)


cdef bytes encode_subscribe(Subscribe packet, int version):
    cdef list parts = [u16(packet.packet_id), prefixed(packet.properties, SUBSCRIBE, version)]
    for name, options in packet.filters:
        parts.append(text(name) + bytes((options,)))
    return whole(SUBSCRIBE << 4 | 2, b"".join(parts))


cdef bytes encode_unsubscribe(Unsubscribe packet, int version):
    cdef list parts = [u16(packet.packet_id), prefixed(packet.properties, UNSUBSCRIBE, version)]
    for name in packet.filters:
        parts.append(text(name))
    return whole(UNSUBSCRIBE << 4 | 2, b"".join(parts))


cdef bytes encode_reason(int packet_type, int code, dict properties):
    """DISCONNECT or AUTH of MQTT 5, in its shortest form."""
    if not properties:
        if code == 0 or packet_type == DISCONNECT:
            return whole(packet_type << 4, bytes((code,)) if code else b"")
    return whole(packet_type << 4, bytes((code,)) + prefixed(properties, packet_type, MQTT_5))


cpdef bytes encode_connack(bint session_present, int code, dict properties, int version):
    """`code` is a reason code in MQTT 5, a return code before."""
    return whole(CONNACK << 4, bytes((session_present, code)) + prefixed(properties, CONNACK, version))


cpdef bytes encode_suback(int packet_id, codes, dict properties, int version):
    """`codes` (a list or bytes) of MQTT 5; a refusal becomes 0x80 for the others, [MQTT-3.9.3-2] of 3.1.1."""
    if version != MQTT_5:
        codes = [min(code, 0x80) for code in codes]
    return whole(SUBACK << 4, u16(packet_id) + prefixed(properties, SUBACK, version) + bytes(codes))


cpdef bytes encode_unsuback(int packet_id, codes, dict properties, int version):
    """`codes` are left out before MQTT 5."""
    if version != MQTT_5:
        return whole(UNSUBACK << 4, u16(packet_id))
    return whole(UNSUBACK << 4, u16(packet_id) + prefixed(properties, UNSUBACK, version) + bytes(codes))


cpdef bytes encode_disconnect(int code, dict properties):
    """A DISCONNECT of MQTT 5: a server sends none before."""
    return encode_reason(DISCONNECT, code, properties)


cpdef bytes encode(Packet packet, int version):
    """The bytes of a packet. ValueError for what cannot be encoded; nothing else is checked."""
    if isinstance(packet, PublishPacket):
        return encode_publish(packet, version)
    if isinstance(packet, Ack):
        return encode_ack(packet, version)
    if isinstance(packet, Connect):
        return encode_connect(packet)
    if isinstance(packet, Connack):
        return encode_connack(packet.session_present, packet.reason_code, packet.properties, version)
    if isinstance(packet, Subscribe):
        return encode_subscribe(packet, version)
    if isinstance(packet, Suback):
        return encode_suback(packet.packet_id, packet.reason_codes, packet.properties, version)
    if isinstance(packet, Unsubscribe):
        return encode_unsubscribe(packet, version)
    if isinstance(packet, Unsuback):
        return encode_unsuback(packet.packet_id, packet.reason_codes, packet.properties, version)
    if isinstance(packet, Pingreq):
        return whole(PINGREQ << 4, b"")
    if isinstance(packet, Pingresp):
        return whole(PINGRESP << 4, b"")
    if isinstance(packet, Disconnect):
        if version != MQTT_5:
            return whole(DISCONNECT << 4, b"")
        return encode_disconnect(packet.reason_code, packet.properties)
    if isinstance(packet, Auth):
        return encode_reason(AUTH, packet.reason_code, packet.properties)
    raise TypeError(f"{type(packet).__name__} is not a packet")
