"""ACL verdicts: see acl_cache.pxd. A few dozen entries at most, so that a scan over their hashes beats a table."""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove

from router_ext.memory.hash_table cimport hash_bytes

cdef enum:
    FIRST = 2       # entries: most clients publish to one topic and subscribe to another


cdef AclEntry* acl_find(AclCache* cache, uint8_t access, const uint8_t* topic, size_t n, int64_t now) noexcept nogil:
    """The verdict in force, or NULL; one that has expired is dropped."""
    cdef uint32_t hashed = <uint32_t>hash_bytes(0, 0, topic, n), i
    cdef AclEntry* entry
    for i in range(cache.count):
        entry = cache.entries + i
        if entry.hash == hashed and entry.access == access and is_about(entry, topic, n):
            if entry.expires > now:
                return entry
            drop(cache, i)
            return NULL
    return NULL


cdef int acl_put(AclCache* cache, uint32_t limit, uint8_t access, const uint8_t* topic, size_t n, bint allowed,
                 int64_t expires) noexcept nogil:
    """Adds a verdict that is not there; with `limit` of them the oldest makes room. -1 when memory is out."""
    cdef uint8_t* copy
    cdef AclEntry* grown
    cdef uint32_t cap, hashed
    if limit == 0:
        return 0
    while cache.count >= limit:
        drop(cache, 0)
    if cache.count == cache.cap:
        cap = min(limit, cache.cap * 2 if cache.cap else FIRST)
        grown = <AclEntry*>realloc(cache.entries, cap * sizeof(AclEntry))
        if grown == NULL:
            return -1
        cache.entries = grown
        cache.cap = cap
    hashed = <uint32_t>hash_bytes(0, 0, topic, n)
    copy = <uint8_t*>malloc(n + 1)
    if copy == NULL:
        return -1
    memcpy(copy, topic, n)
    cache.entries[cache.count] = AclEntry(copy, hashed, <uint16_t>n, access, allowed, expires)
    cache.count += 1
    return 0


cdef uint32_t acl_forget(AclCache* cache, const uint8_t* topic, size_t n) noexcept nogil:
    """Drops both verdicts about a topic; returns how many there were."""
    cdef uint32_t i = 0, gone = 0
    while i < cache.count:
        if is_about(cache.entries + i, topic, n):
            drop(cache, i)
            gone += 1
        else:
            i += 1
    return gone


cdef void acl_clear(AclCache* cache) noexcept nogil:
    cdef uint32_t i
    for i in range(cache.count):
        free(cache.entries[i].topic)
    free(cache.entries)
    cache.entries = NULL
    cache.count = cache.cap = 0


cdef bint is_about(const AclEntry* entry, const uint8_t* topic, size_t n) noexcept nogil:
    return entry.topic_len == n and memcmp(entry.topic, topic, n) == 0


cdef void drop(AclCache* cache, uint32_t i) noexcept nogil:
    free(cache.entries[i].topic)
    cache.count -= 1
    memmove(cache.entries + i, cache.entries + i + 1, (cache.count - i) * sizeof(AclEntry))
