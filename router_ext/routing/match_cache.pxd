"""The results of matching, remembered by topic until the table changes.

A hash table whose slots count only in the present `era`: to forget everything is to begin another one. Results lie in
an arena, which is the cache's and is emptied as a whole.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from router_ext.memory.arena cimport Arena
from router_ext.routing.shared_groups cimport Group
from router_ext.routing.subscription cimport Recipient

cdef struct Match:
    Recipient* plain               # one per subscriber: overlapping filters merged
    Group** groups                 # deliver to one member each
    uint32_t n_plain
    uint32_t n_groups
    uint32_t n_ids                 # subscription identifiers of all in `plain`

cdef struct Remembered:
    Match match
    uint32_t topic_len
    uint8_t topic[1]

cdef struct Slot:
    Remembered* result
    uint32_t hash
    uint32_t era                   # empty unless it is the present one

cdef struct MatchCache:
    Arena arena                    # the results, and the arrays they point at
    Slot* slots
    uint32_t mask
    uint32_t era
    uint32_t used
    uint32_t max_used
    size_t max_bytes
    uint64_t seed
    uint64_t generation            # of the table that the results were found in


cdef bint cache_set_up(MatchCache* cache, uint64_t seed, uint32_t max_used, size_t max_bytes) noexcept nogil
cdef void cache_tear_down(MatchCache* cache) noexcept nogil
cdef Match* cache_get(MatchCache* cache, uint64_t generation, const uint8_t* topic, size_t n) noexcept nogil
cdef Match* cache_new(MatchCache* cache, const uint8_t* topic, size_t n) noexcept nogil
cdef void cache_forget(MatchCache* cache, uint64_t generation) noexcept nogil
