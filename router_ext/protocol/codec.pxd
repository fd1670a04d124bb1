"""Packets from bytes and to bytes.

The first half is what an ordinary message needs: no Python object, positions in the caller's buffer, a reason
code instead of an exception. The second half makes and takes records and raises. Integers and the fixed
header come from `wire`, properties from `properties`, records from `packets`; all may be cimported from here.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from router_ext.protocol.packets cimport (
    Ack, Auth, Connack, Connect, Disconnect, Packet, Pingreq, Pingresp, PublishPacket, Suback, Subscribe, Unsuback,
    Unsubscribe, Will,
)
from router_ext.protocol.properties cimport forwardable
from router_ext.protocol.wire cimport flags_valid, frame, put_varint, shortest, varint_size

cdef struct Publish:
    const uint8_t* topic       # into the packet, as are the two below
    const uint8_t* props       # MQTT 5 properties without their length prefix
    const uint8_t* payload
    uint32_t props_len
    uint32_t payload_len
    uint32_t expiry            # Message Expiry Interval in seconds, when has_expiry
    uint16_t topic_len         # 0 only beside a topic alias
    uint16_t packet_id         # 0 with QoS 0
    uint16_t topic_alias       # 0: none
    uint8_t flags              # the low half of the first byte
    uint8_t dup
    uint8_t qos
    uint8_t retain
    bint has_expiry
    bint forward_as_is         # neither alias nor expiry: the properties can be passed on as they are

cdef int parse_publish(const uint8_t* body, size_t n, uint8_t first_byte, uint8_t version,
                       Publish* out) noexcept nogil                     # 0 or a reason code
cdef int parse_ack(const uint8_t* body, size_t n, uint8_t version, uint16_t* packet_id,
                   uint8_t* reason) noexcept nogil                      # 0 or a reason code
cdef bint ack_reason_valid(uint8_t packet, uint8_t reason) noexcept nogil

cdef object decode_raw(const uint8_t* body, size_t n, uint8_t first_byte, uint8_t version)
cpdef bytes encode(Packet packet, int version)
cpdef bytes encode_connack(bint session_present, int code, dict properties, int version)
cpdef bytes encode_suback(int packet_id, codes, dict properties, int version)
cpdef bytes encode_unsuback(int packet_id, codes, dict properties, int version)
cpdef bytes encode_disconnect(int code, dict properties)
