"""MQTT 5 properties, from the one table below."""

from libc.string cimport memcpy

from router_ext.protocol.topic cimport name_valid, utf8_valid
from router_ext.protocol.wire cimport (
    AUTH, CONNACK, CONNECT, DISCONNECT, MALFORMED_PACKET, MAX_VARINT, PROTOCOL_ERROR, PUBACK, PUBCOMP, PUBLISH,
    PUBREC, PUBREL, SUBACK, SUBSCRIBE, TOPIC_ALIAS_INVALID, UNSUBACK, UNSUBSCRIBE, get_u16, get_u32, get_varint,
    put_varint, varint_size,
)

cdef enum Kind:
    NONE, BYTE, TWO_BYTE, FOUR_BYTE, VARINT, TEXT, BINARY, PAIR

cdef enum Range:
    ANY, FLAG, NONZERO     # FLAG: 0 or 1

cdef enum:
    MESSAGE_EXPIRY_INTERVAL = 0x02
    RESPONSE_TOPIC = 0x08
    SUBSCRIPTION_IDENTIFIER = 0x0B
    TOPIC_ALIAS = 0x23
    USER_PROPERTY = 0x26
    IDS = 0x2B             # one past the highest identifier

cdef struct Rule:
    uint8_t kind
    uint8_t range
    bint repeatable
    uint32_t packets       # bit n: allowed in packet type n (or WILL, PUBLISH_OUT)

_ACKS = (PUBACK, PUBREC, PUBREL, PUBCOMP)
_MESSAGE = (PUBLISH, PUBLISH_OUT, WILL)
_REPLIES = (CONNACK, *_ACKS, SUBACK, UNSUBACK, DISCONNECT, AUTH)

# identifier, name, kind, range, where it may appear (2.2.2.2)
_TABLE = (
    (0x01, "payload_format_indicator", BYTE, FLAG, _MESSAGE),
    (0x02, "message_expiry_interval", FOUR_BYTE, ANY, _MESSAGE),
    (0x03, "content_type", TEXT, ANY, _MESSAGE),
    (0x08, "response_topic", TEXT, ANY, _MESSAGE),
    (0x09, "correlation_data", BINARY, ANY, _MESSAGE),
    (0x0B, "subscription_identifier", VARINT, NONZERO, (PUBLISH_OUT, SUBSCRIBE)),
    (0x11, "session_expiry_interval", FOUR_BYTE, ANY, (CONNECT, CONNACK, DISCONNECT)),
    (0x12, "assigned_client_identifier", TEXT, ANY, (CONNACK,)),
    (0x13, "server_keep_alive", TWO_BYTE, ANY, (CONNACK,)),
    (0x15, "authentication_method", TEXT, ANY, (CONNECT, CONNACK, AUTH)),
    (0x16, "authentication_data", BINARY, ANY, (CONNECT, CONNACK, AUTH)),
    (0x17, "request_problem_information", BYTE, FLAG, (CONNECT,)),
    (0x18, "will_delay_interval", FOUR_BYTE, ANY, (WILL,)),
    (0x19, "request_response_information", BYTE, FLAG, (CONNECT,)),
    (0x1A, "response_information", TEXT, ANY, (CONNACK,)),
    (0x1C, "server_reference", TEXT, ANY, (CONNACK, DISCONNECT)),
    (0x1F, "reason_string", TEXT, ANY, _REPLIES),
    (0x21, "receive_maximum", TWO_BYTE, NONZERO, (CONNECT, CONNACK)),
    (0x22, "topic_alias_maximum", TWO_BYTE, ANY, (CONNECT, CONNACK)),
    (0x23, "topic_alias", TWO_BYTE, NONZERO, (PUBLISH, PUBLISH_OUT)),
    (0x24, "maximum_qos", BYTE, FLAG, (CONNACK,)),
    (0x25, "retain_available", BYTE, FLAG, (CONNACK,)),
    (0x26, "user_property", PAIR, ANY, (CONNECT, *_MESSAGE, SUBSCRIBE, UNSUBSCRIBE, *_REPLIES)),
    (0x27, "maximum_packet_size", FOUR_BYTE, NONZERO, (CONNECT, CONNACK)),
    (0x28, "wildcard_subscription_available", BYTE, FLAG, (CONNACK,)),
    (0x29, "subscription_identifier_available", BYTE, FLAG, (CONNACK,)),
    (0x2A, "shared_subscription_available", BYTE, FLAG, (CONNACK,)),
)

cdef Rule rules[IDS]
cdef list names = [None] * IDS
cdef dict identifiers = {}


def _fill():
    for identifier, name, kind, values, packets in _TABLE:
        rules[<int>identifier].kind = kind
        rules[<int>identifier].range = values
        rules[<int>identifier].repeatable = identifier == USER_PROPERTY
        rules[<int>identifier].packets = sum(1 << packet for packet in packets)
        names[identifier] = name
        identifiers[name] = identifier


_fill()


cdef inline int text_at(const uint8_t* p, size_t n, const uint8_t** text, uint16_t* length) noexcept nogil:
    """Bytes that a length-prefixed field takes, or -1 when it is cut short."""
    if n < 2:
        return -1
    length[0] = get_u16(p)
    text[0] = p + 2
    return 2 + length[0] if n - 2 >= length[0] else -1


cdef int next_property(const uint8_t* p, size_t n, Property* out) noexcept nogil:
    """Reads the property at `p`: the bytes it takes, or a negated reason code.

    Identifiers are variable byte integers, but all of them are below 128."""
    cdef uint8_t kind
    cdef int used, more
    if n < 2 or p[0] >= IDS or rules[p[0]].kind == NONE:
        return -MALFORMED_PACKET
    out.id = p[0]
    out.number = 0
    out.text = out.value = NULL
    out.text_len = out.value_len = 0
    kind = rules[p[0]].kind
    p += 1
    n -= 1
    if kind == BYTE:
        out.number = p[0]
        return 2
    if kind == TWO_BYTE:
        if n < 2:
            return -MALFORMED_PACKET
        out.number = get_u16(p)
        return 3
    if kind == FOUR_BYTE:
        if n < 4:
            return -MALFORMED_PACKET
        out.number = get_u32(p)
        return 5
    if kind == VARINT:
        used = get_varint(p, n, &out.number)
        if used <= 0 or <size_t>used != varint_size(out.number):  # [MQTT-1.5.5-1]
            return -MALFORMED_PACKET
        return 1 + used
    used = text_at(p, n, &out.text, &out.text_len)
    if used < 0 or (kind != BINARY and not utf8_valid(out.text, out.text_len)):  # [MQTT-1.5.4-1]
        return -MALFORMED_PACKET
    if kind == PAIR:
        more = text_at(p + used, n - used, &out.value, &out.value_len)
        if more < 0 or not utf8_valid(out.value, out.value_len):  # [MQTT-1.5.7-1]
            return -MALFORMED_PACKET
        used += more
    return 1 + used


cdef int admit(const Property* property, uint8_t packet, uint64_t* seen) noexcept nogil:
    """0, or the reason code why this property may not stand in this packet; `seen` collects identifiers."""
    cdef const Rule* rule = &rules[property.id]
    cdef uint64_t bit = <uint64_t>1 << property.id
    if not (rule.packets >> packet) & 1:
        # [MQTT-3.3.4-6] names this one a protocol error; any other stranger is malformed (2.2.2.2).
        if property.id == SUBSCRIPTION_IDENTIFIER and packet == PUBLISH:
            return PROTOCOL_ERROR
        return MALFORMED_PACKET
    if seen[0] & bit and not rule.repeatable and not (
        property.id == SUBSCRIPTION_IDENTIFIER and packet == PUBLISH_OUT  # one a subscription, 3.3.2.3.8
    ):
        return PROTOCOL_ERROR
    seen[0] |= bit
    if rule.range == FLAG and property.number > 1:
        return PROTOCOL_ERROR
    if rule.range == NONZERO and property.number == 0:
        return TOPIC_ALIAS_INVALID if property.id == TOPIC_ALIAS else PROTOCOL_ERROR  # [MQTT-3.3.2-8]
    if property.id == RESPONSE_TOPIC and not name_valid(property.text, property.text_len):
        return PROTOCOL_ERROR  # [MQTT-3.3.2-14]
    return 0


cdef int check_properties(const uint8_t* p, size_t n, uint8_t packet) noexcept nogil:
    """0 when all of them may stand in this packet, else a reason code."""
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
        at += used
    return 0


cdef size_t forwardable(const uint8_t* props, size_t n, uint8_t* dst) noexcept nogil:
    """Copies checked PUBLISH properties but for Topic Alias and Message Expiry Interval, which belong to one
    connection and one moment; returns the length. `dst` needs room for `n` bytes."""
    cdef Property property
    cdef size_t at = 0, length = 0
    cdef int used
    while at < n:
        used = next_property(props + at, n - at, &property)
        if used < 0:
            break
        if property.id != TOPIC_ALIAS and property.id != MESSAGE_EXPIRY_INTERVAL:
            memcpy(dst + length, props + at, used)
            length += used
        at += used
    return length


cdef object python_value(const Property* property):
    cdef uint8_t kind = rules[property.id].kind
    if kind == TEXT:
        return property.text[:property.text_len].decode()
    if kind == BINARY:
        return property.text[:property.text_len]
    if kind == PAIR:
        return property.text[:property.text_len].decode(), property.value[:property.value_len].decode()
    return property.number


cdef uint32_t count_pairs(const uint8_t* p, size_t n) noexcept nogil:
    """How many User Properties there are among checked ones."""
    cdef Property property
    cdef uint32_t count = 0
    cdef size_t at = 0
    cdef int used
    while at < n:
        used = next_property(p + at, n - at, &property)
        if used < 0:
            break
        count += property.id == USER_PROPERTY
        at += used
    return count


cdef dict properties_dict(const uint8_t* p, size_t n, bint pairs=True):
    """Checked properties by name. `user_property` is a list of pairs, left out without `pairs`. A repeated
    `subscription_identifier` is a list of integers, a single one an integer."""
    cdef Property property
    cdef dict found = {}
    cdef size_t at = 0
    cdef int used
    while at < n:
        used = next_property(p + at, n - at, &property)
        if used < 0:
            raise ValueError("malformed properties")
        at += used
        if property.id == USER_PROPERTY and not pairs:
            continue
        name = names[property.id]
        value = python_value(&property)
        if property.id == USER_PROPERTY:
            found.setdefault(name, []).append(value)
        elif name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


cdef bytes text_bytes(str text):
    return binary_bytes(text.encode())


cdef bytes binary_bytes(bytes data):
    if len(data) > 0xFFFF:
        raise ValueError("a string or binary field holds at most 65535 bytes")
    return len(data).to_bytes(2, "big") + data


cdef bytes varint_bytes(uint32_t number):
    cdef uint8_t buffer[5]
    if number > MAX_VARINT:
        raise ValueError(f"{number} does not fit a variable byte integer")
    return buffer[:put_varint(buffer, number)]


cdef bytes encode_value(uint8_t kind, value):
    if kind == BYTE:
        return int(value).to_bytes(1, "big")
    if kind == TWO_BYTE:
        return value.to_bytes(2, "big")
    if kind == FOUR_BYTE:
        return value.to_bytes(4, "big")
    if kind == VARINT:
        return varint_bytes(value)
    if kind == TEXT:
        return text_bytes(value)
    if kind == BINARY:
        return binary_bytes(value)
    return text_bytes(value[0]) + text_bytes(value[1])


cdef bytes properties_bytes(dict properties, uint8_t packet):
    cdef list parts = []
    for name, value in properties.items():
        identifier = identifiers.get(name)
        if identifier is None:
            raise ValueError(f"unknown property {name!r}")
        if not (rules[<int>identifier].packets >> packet) & 1:
            raise ValueError(f"property {name!r} is not allowed in packet type {packet}")
        for one in value if isinstance(value, list) else (value,):
            parts.append(bytes((identifier,)))
            parts.append(encode_value(rules[<int>identifier].kind, one))
    return b"".join(parts)
