"""Application messages: see message.pxd for the layout."""

cimport cython
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

# Small messages are taken from a stock of blocks, by size: with a full window on its way to each of many clients more
# are held than malloc keeps ready, and its slow way costs more than all else that is done to hold a message.
cdef enum:
    GRAIN = 64
    SIZES = 8               # blocks of 64, 128, ... 512 bytes
    STOCK = 512             # blocks of one size that are kept

cdef struct Block:
    Block* next

cdef struct Stock:
    Block* first
    uint32_t count

cdef Stock stocks[SIZES]


cdef inline size_t msg_size(size_t topic_len, size_t props_len, size_t payload_len, size_t client_len) noexcept nogil:
    return sizeof(Msg) + topic_len + props_len + payload_len + client_len


cdef inline void* block_take(size_t size) noexcept nogil:
    """At least `size` bytes; NULL when memory is out."""
    cdef size_t at = (size - 1) // GRAIN
    cdef Block* block
    if at >= SIZES:
        return malloc(size)
    block = stocks[at].first
    if block == NULL:
        return malloc((at + 1) * GRAIN)
    stocks[at].first = block.next
    stocks[at].count -= 1
    return block


cdef inline void block_give(void* p, size_t size) noexcept nogil:
    cdef size_t at = (size - 1) // GRAIN
    cdef Block* block = <Block*>p
    if at >= SIZES or stocks[at].count == STOCK:
        free(p)
        return
    block.next = stocks[at].first
    stocks[at].first = block
    stocks[at].count += 1


cdef Msg* msg_new(const uint8_t* topic, size_t topic_len, const uint8_t* props, size_t props_len,
                  const uint8_t* payload, size_t payload_len, const uint8_t* client, size_t client_len,
                  uint8_t qos, uint8_t flags, uint32_t expiry, int64_t arrived) noexcept nogil:
    """A message with one reference, owned by the caller; NULL when memory is out."""
    cdef Msg* m = <Msg*>block_take(msg_size(topic_len, props_len, payload_len, client_len))
    cdef uint8_t* at
    if m == NULL:
        return NULL
    m.refs = 1
    m.number = 0
    m.holders = 0
    m.topic_len = <uint16_t>topic_len
    m.props_len = <uint32_t>props_len
    m.payload_len = <uint32_t>payload_len
    m.client_len = <uint16_t>client_len
    m.expiry = expiry
    m.arrived = arrived
    m.qos = qos
    m.flags = flags
    m.lead = 0
    at = m.data
    memcpy(at, topic, topic_len)
    at += topic_len
    if props_len:
        memcpy(at, props, props_len)
        at += props_len
    if payload_len:
        memcpy(at, payload, payload_len)
        at += payload_len
    if client_len:
        memcpy(at, client, client_len)
    return m


cdef Msg* msg_unstored(Msg* m) noexcept nogil:
    """`m`, or a copy of it when it has had a place in the store: the number it got there is for those places, some of
    which may be gone. With a reference for the caller; NULL when memory is out."""
    if m.number == 0:
        return msg_ref(m)
    return msg_new(msg_topic(m), m.topic_len, msg_props(m), m.props_len, msg_payload(m), m.payload_len, msg_client(m),
                   m.client_len, m.qos, m.flags, m.expiry, m.arrived)


cdef void msg_unref(Msg* m) noexcept nogil:
    m.refs -= 1
    if m.refs == 0:
        if m.lead:
            free(msg_payload(m) - m.lead)
        block_give(m, msg_size(m.topic_len, m.props_len, msg_inline(m), m.client_len))


cdef Message wrap(Msg* m):
    """A view of `m` with a reference of its own."""
    cdef Message view = Message.__new__(Message)
    view.msg = msg_ref(m)
    return view


@cython.no_gc   # `publisher` knows no message
cdef class Message:

    @staticmethod
    def create(str topic, bytes payload=b"", int qos=0, bint retain=False, str client_id="",
               bytes properties=b"", expiry=None, int64_t arrived=0):
        """A message made in Python. `expiry` in seconds or None, `arrived` in monotonic milliseconds,
        `properties` encoded as in a PUBLISH but without their length prefix. ValueError for a topic or client id
        that is longer than MQTT can say."""
        cdef bytes name = topic.encode(), client = client_id.encode()
        cdef uint8_t flags = MSG_RETAIN if retain else 0
        if len(name) > 0xFFFF or len(client) > 0xFFFF:
            raise ValueError("a topic and a client id have at most 65,535 bytes")
        if name.startswith(b"$SYS/"):
            flags |= MSG_SYS
        if expiry is not None:
            flags |= MSG_HAS_EXPIRY
        cdef Message view = Message.__new__(Message)
        view.msg = msg_new(name, len(name), properties, len(properties), payload, len(payload),
                           client, len(client), qos, flags, expiry or 0, arrived)
        if view.msg == NULL:
            raise MemoryError
        return view

    def __dealloc__(self):
        if self.msg != NULL:
            msg_unref(self.msg)

    @property
    def topic(self):
        return msg_topic(self.msg)[:self.msg.topic_len].decode()

    @property
    def payload(self):
        return msg_payload(self.msg)[:self.msg.payload_len]

    @property
    def properties(self):
        """The forwarded MQTT 5 properties, encoded."""
        return msg_props(self.msg)[:self.msg.props_len]

    @property
    def client_id(self):
        return msg_client(self.msg)[:self.msg.client_len].decode()

    @property
    def qos(self):
        return self.msg.qos

    @property
    def retain(self):
        return bool(self.msg.flags & MSG_RETAIN)

    @property
    def expiry(self):
        """Message Expiry Interval in seconds, or None."""
        return self.msg.expiry if self.msg.flags & MSG_HAS_EXPIRY else None

    @property
    def arrived(self):
        return self.msg.arrived

    def __repr__(self):
        return f"Message({self.topic!r}, {self.msg.payload_len} bytes, qos={self.msg.qos})"
