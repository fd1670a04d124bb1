"""A subscription as the table keeps it, and as a match shows it.

The Router owns the records, in a Pool, and each has one reference of its subscriber. A record is in two lists at once,
its subscriber's and its node's (or it has a place in its group), so that both can be gone through, and it can leave
both without a search. A Recipient borrows, and is valid until the table changes.
"""

from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from router_ext.memory.pool cimport Pool, pool_at

cdef enum:
    OPT_QOS = 0x03                 # the SUBSCRIBE option byte (MQTT 5.0, section 3.8.3.1)
    OPT_NO_LOCAL = 0x04
    OPT_RETAIN_AS_PUBLISHED = 0x08
    OPT_RETAIN_HANDLING = 0x30
    SHARED = 0x80000000            # in `owner`: a group, not a node
    NO_ROW = 0

cdef struct Subscription:
    uint32_t later                 # neighbours in the subscriber's list
    uint32_t earlier
    PyObject* subscriber           # owned; NULL: a free record
    uint32_t owner                 # the node of its filter, or its group and SHARED
    uint32_t subid                 # subscription identifier, 0 none
    uint32_t next                  # neighbours in the node's list; shared: `next` is the place in the group
    uint32_t prev
    uint8_t opts                   # the SUBSCRIBE option byte

cdef struct Recipient:
    PyObject* subscriber           # borrowed; a Subscription owns it
    uint32_t* ids                  # subscription identifiers, `nids` of them; NULL when there are none
    uint16_t nids
    uint8_t opts                   # the SUBSCRIBE option byte, merged


cdef inline Subscription* row_at(const Pool* rows, uint32_t number) noexcept nogil:
    return <Subscription*>pool_at(rows, number)


cdef inline void recipient_set_ids(Recipient* recipient, Subscription* row) noexcept nogil:
    recipient.nids = row.subid != 0
    recipient.ids = &row.subid if row.subid else NULL


cdef inline void recipient_set(Recipient* recipient, Subscription* row) noexcept nogil:
    recipient.subscriber = row.subscriber
    recipient.opts = row.opts
    recipient_set_ids(recipient, row)
