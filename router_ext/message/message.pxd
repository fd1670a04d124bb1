"""An application message as the routing core keeps it: one allocation (a long payload may have the block that it was
received into), counted references, no Python object.

Whoever keeps a Msg* has one reference and gives it back by `msg_unref`: windows, queues, outboxes, the retained store
and Python's `Message` do. `number` and `holders` are the journal's.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    MSG_RETAIN = 1       # the publisher's RETAIN flag
    MSG_HAS_EXPIRY = 2   # `expiry` holds a Message Expiry Interval
    MSG_SYS = 4          # published below $SYS/: left out of the sent and dropped counters

cdef struct Msg:
    uint32_t refs
    uint32_t props_len     # MQTT 5 properties a server forwards, encoded, without their length prefix
    uint32_t payload_len
    uint32_t expiry        # seconds
    int64_t arrived        # monotonic milliseconds
    uint64_t number        # in the message store, while it has holders
    uint32_t holders       # places in stored sessions; 0: the store does not have it
    uint16_t topic_len
    uint16_t client_len
    uint8_t qos
    uint8_t flags
    uint16_t lead          # 0, or the payload lies in a block of its own, behind so many bytes; `data` has the address
    uint8_t data[1]        # topic, properties, payload, client id

cdef inline uint8_t* msg_topic(Msg* m) noexcept nogil:
    return m.data

cdef inline uint8_t* msg_props(Msg* m) noexcept nogil:
    return m.data + m.topic_len

cdef inline uint8_t* msg_payload(Msg* m) noexcept nogil:
    cdef uint8_t* block
    if m.lead == 0:
        return m.data + m.topic_len + m.props_len
    memcpy(&block, m.data + m.topic_len + m.props_len, sizeof(block))
    return block + m.lead

cdef inline size_t msg_inline(Msg* m) noexcept nogil:
    """What `data` has in the payload's place, in bytes."""
    return m.payload_len if m.lead == 0 else sizeof(uint8_t*)

cdef inline uint8_t* msg_client(Msg* m) noexcept nogil:
    return m.data + m.topic_len + m.props_len + msg_inline(m)

cdef inline Msg* msg_ref(Msg* m) noexcept nogil:
    m.refs += 1
    return m

cdef Msg* msg_new(const uint8_t* topic, size_t topic_len, const uint8_t* props, size_t props_len,
                  const uint8_t* payload, size_t payload_len, const uint8_t* client, size_t client_len,
                  uint8_t qos, uint8_t flags, uint32_t expiry, int64_t arrived) noexcept nogil
cdef Msg* msg_unstored(Msg* m) noexcept nogil

cdef inline Msg* checked(Msg* m) except NULL:
    """What an allocation gave; MemoryError where that is nothing."""
    if m == NULL:
        raise MemoryError
    return m

cdef void msg_unref(Msg* m) noexcept nogil

cdef inline bint msg_expired(Msg* m, int64_t now) noexcept nogil:
    """[MQTT-3.3.2-5] The interval has passed and delivery has not begun."""
    return (m.flags & MSG_HAS_EXPIRY) != 0 and now - m.arrived >= <int64_t>m.expiry * 1000

cdef inline uint32_t msg_remaining(Msg* m, int64_t now) noexcept nogil:
    """[MQTT-3.3.2-6] The received interval less the whole seconds spent waiting here, of which 1 is left at least."""
    cdef int64_t waited = (now - m.arrived) // 1000
    return <uint32_t>(m.expiry - waited) if waited < m.expiry else m.expiry != 0

cdef class Message:
    """A Python view that holds one reference."""
    cdef Msg* msg
    cdef public object publisher   # the broker's own: the client it came from, None for REST, plugins and the broker

cdef Message wrap(Msg* m)
