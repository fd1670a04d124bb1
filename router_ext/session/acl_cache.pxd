"""The ACL verdicts of one connection, oldest first (EMQ X `acl_cache_max_size`, `acl_cache_ttl`). No Python objects.

Part of a Channel, which clears it. It owns the topics of its entries; a pointer to an entry is valid until the next
call. Invariant: there is one entry at most for a topic and a kind of access.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from router_ext.memory.flag cimport flag

cdef struct AclEntry:
    uint8_t* topic
    uint32_t hash
    uint16_t topic_len
    uint8_t access
    flag allowed
    int64_t expires     # ms

cdef struct AclCache:
    AclEntry* entries
    uint32_t count
    uint32_t cap

cdef AclEntry* acl_find(AclCache* cache, uint8_t access, const uint8_t* topic, size_t n, int64_t now) noexcept nogil
cdef int acl_put(AclCache* cache, uint32_t limit, uint8_t access, const uint8_t* topic, size_t n, bint allowed,
                 int64_t expires) noexcept nogil
cdef uint32_t acl_forget(AclCache* cache, const uint8_t* topic, size_t n) noexcept nogil
cdef void acl_clear(AclCache* cache) noexcept nogil
