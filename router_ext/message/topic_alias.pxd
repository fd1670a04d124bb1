"""Topic aliases of one connection (MQTT 5.0, section 3.3.2.3.4): AliasTable has those to the client,
ClientAliases those that the client gives.

The session has the first while it is connected, the channel the second; both end with the connection. When all aliases
to the client are given, the hand passes over those used since it last came by, and takes the next one away from its
topic. Invariants: no alias is above what the other side allowed; `size` is the bytes of all topics that the client has
given.
"""

from libc.stdint cimport uint8_t, uint16_t

cdef enum:
    USED_BYTES = 32
    MOST_ALIASES = 256      # the table stays small whatever the client offers; a bit each in `used`

cdef class AliasTable:
    cdef dict numbers               # topic bytes -> alias
    cdef list topics                # by alias, from 1 on
    cdef uint8_t[USED_BYTES] used   # since the hand passed
    cdef uint16_t most
    cdef uint16_t hand              # the alias looked at when none is free

    cdef uint16_t alias_of(self, const uint8_t* topic, uint16_t n, bint* known) except? 0
    cdef uint16_t give(self, uint16_t alias, bytes name) except 0

cdef class ClientAliases:
    cdef dict topics                # alias -> topic bytes
    cdef size_t size                # bytes of the topics

    cdef bint put(self, uint16_t alias, const uint8_t* topic, uint16_t n, size_t most) except -1
    cdef bytes topic_of(self, uint16_t alias)
