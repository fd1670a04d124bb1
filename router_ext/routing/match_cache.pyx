"""The results of matching, remembered by topic: see match_cache.pxd for the layout.

Bounded in topics and in bytes (by the limit and one result). When a bound is reached everything is forgotten: results
come back in a microsecond, and no bookkeeping for their age burdens the path of every message.
"""

from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport munmap

from router_ext.memory.arena cimport arena_empty, arena_take, arena_tear_down
from router_ext.memory.pool cimport pages_take
from router_ext.memory.hash_table cimport hash_bytes


cdef bint cache_set_up(MatchCache* cache, uint64_t seed, uint32_t max_used, size_t max_bytes) noexcept nogil:
    """Room for `max_used` topics (at least one); False when memory is out."""
    cdef uint32_t slots = 16
    memset(cache, 0, sizeof(MatchCache))
    max_used = max(1, min(max_used, 1 << 28))
    while slots < max_used * 2:
        slots *= 2
    cache.seed = seed
    cache.max_used = max_used
    cache.max_bytes = max_bytes
    cache.mask = slots - 1
    cache.era = 1
    cache.slots = <Slot*>pages_take(slots * sizeof(Slot))
    return cache.slots != NULL


cdef void cache_tear_down(MatchCache* cache) noexcept nogil:
    arena_tear_down(&cache.arena)
    if cache.slots != NULL:
        munmap(cache.slots, (<size_t>cache.mask + 1) * sizeof(Slot))
        cache.slots = NULL


cdef void cache_forget(MatchCache* cache, uint64_t generation) noexcept nogil:
    """Forgets everything. A slot of another era is empty, so no slot has to be touched."""
    arena_empty(&cache.arena)
    cache.used = 0
    cache.generation = generation
    cache.era += 1
    if cache.era == 0:
        memset(cache.slots, 0, (<size_t>cache.mask + 1) * sizeof(Slot))
        cache.era = 1


cdef inline Slot* slot_of(const MatchCache* cache, uint32_t hash, const uint8_t* topic, size_t n) noexcept nogil:
    """The slot of a topic, or the empty one where it belongs."""
    cdef uint32_t at = hash & cache.mask
    cdef Slot* slot = cache.slots + at
    while slot.era == cache.era:
        if slot.hash == hash and slot.result.topic_len == n and memcmp(slot.result.topic, topic, n) == 0:
            return slot
        at = (at + 1) & cache.mask
        slot = cache.slots + at
    return slot


cdef Match* cache_get(MatchCache* cache, uint64_t generation, const uint8_t* topic, size_t n) noexcept nogil:
    """The result for a topic in the table's present generation, NULL when it is not known."""
    cdef Slot* slot
    if cache.generation != generation:
        cache_forget(cache, generation)
        return NULL
    slot = slot_of(cache, <uint32_t>hash_bytes(cache.seed, 0, topic, n), topic, n)
    return &slot.result.match if slot.era == cache.era else NULL


cdef Match* cache_new(MatchCache* cache, const uint8_t* topic, size_t n) noexcept nogil:
    """A result for a topic that is not known, to be filled in; NULL when memory is out."""
    cdef uint32_t hash = <uint32_t>hash_bytes(cache.seed, 0, topic, n)
    cdef Remembered* result
    cdef Slot* slot
    if cache.used >= cache.max_used or cache.arena.total >= cache.max_bytes:
        cache_forget(cache, cache.generation)
    result = <Remembered*>arena_take(&cache.arena, sizeof(Remembered) + n)
    if result == NULL:
        return NULL
    memset(result, 0, sizeof(Remembered))
    result.topic_len = <uint32_t>n
    memcpy(result.topic, topic, n)
    slot = slot_of(cache, hash, topic, n)
    slot.result = result
    slot.hash = hash
    slot.era = cache.era
    cache.used += 1
    return &result.match
