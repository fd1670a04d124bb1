"""A hash table of record numbers beside the records: open addressing, 8 bytes a slot, deletion without tombstones.

It knows hashes and numbers; what makes two keys equal is known to its owner, who looks up with
`part = table_part(...)`, `at = table_first(...)`, `table_number(...)`, `at = table_next(...)` until the number is 0.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from posix.mman cimport munmap

from router_ext.memory.pool cimport pages_take

cdef extern from *:
    """
    static inline uint64_t mix(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t mix(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    PART_BITS = 6
    PARTS = 1 << 6       # so that growing moves a 64th at a time: at a million entries 0.4 ms and not 24
    MIN_SLOTS = 16
    MAPPED_SLOTS = 8192  # from here on the slots come from the system, and go back to it

cdef struct Part:
    uint64_t* slots      # hash in the upper half, number in the lower; 0 is empty
    uint32_t mask
    uint32_t used

cdef struct Table:
    Part parts[PARTS]


cdef inline uint64_t hash_pair(uint64_t seed, uint64_t a, uint64_t b) noexcept nogil:
    return mix(mix(a ^ seed, 0x9E3779B97F4A7C15ULL) ^ b, 0xD6E8FEB86659FD93ULL ^ seed)


cdef inline uint64_t hash_bytes(uint64_t seed, uint64_t salt, const uint8_t* s, size_t n) noexcept nogil:
    """A seeded hash: who chooses the topics cannot choose the collisions."""
    cdef uint64_t h = mix(salt ^ seed, 0x9E3779B97F4A7C15ULL) ^ n, v
    while n > 8:
        memcpy(&v, s, 8)
        h = mix(h ^ v, 0xD6E8FEB86659FD93ULL)
        s += 8
        n -= 8
    v = 0
    if n >= 4:
        memcpy(&v, s, 4)
        memcpy(<uint8_t*>&v + 4, s + n - 4, 4)
    elif n:
        v = s[0] | <uint64_t>s[n >> 1] << 8 | <uint64_t>s[n - 1] << 16
    return mix(h ^ v, 0xA0761D6478BD642FULL ^ seed)


cdef inline Part* table_part(const Table* table, uint32_t hash) noexcept nogil:
    """The part of the table where a hash belongs."""
    return <Part*>&table.parts[hash >> (32 - PART_BITS)]


cdef inline uint32_t table_first(const Part* part, uint32_t hash) noexcept nogil:
    return hash & part.mask


cdef inline uint32_t table_next(const Part* part, uint32_t at) noexcept nogil:
    return (at + 1) & part.mask


cdef inline uint32_t table_number(const Part* part, uint32_t at) noexcept nogil:
    return <uint32_t>part.slots[at]


cdef inline bint table_hash_is(const Part* part, uint32_t at, uint32_t hash) noexcept nogil:
    return <uint32_t>(part.slots[at] >> 32) == hash


cdef inline size_t table_bytes(const Table* table) noexcept nogil:
    cdef size_t slots = 0
    cdef int i
    for i in range(PARTS):
        slots += <size_t>table.parts[i].mask + 1
    return slots * 8


cdef inline uint64_t* slots_take(uint32_t slots) noexcept nogil:
    """Empty slots; NULL when memory is out."""
    if slots < MAPPED_SLOTS:
        return <uint64_t*>calloc(slots, 8)
    return <uint64_t*>pages_take(<size_t>slots * 8)


cdef inline void slots_give(uint64_t* slots, uint32_t count) noexcept nogil:
    if count < MAPPED_SLOTS:
        free(slots)
    elif slots != NULL:
        munmap(slots, <size_t>count * 8)


cdef inline bint table_set_up(Table* table) noexcept nogil:
    """An empty table; False when memory is out."""
    cdef bint complete = True
    cdef int i
    for i in range(PARTS):
        table.parts[i].slots = slots_take(MIN_SLOTS)
        table.parts[i].mask = MIN_SLOTS - 1
        table.parts[i].used = 0
        complete = complete and table.parts[i].slots != NULL
    return complete


cdef inline void table_tear_down(Table* table) noexcept nogil:
    cdef int i
    for i in range(PARTS):
        slots_give(table.parts[i].slots, table.parts[i].mask + 1)
        table.parts[i].slots = NULL


cdef inline void part_store(Part* part, uint64_t slot) noexcept nogil:
    cdef uint32_t at = <uint32_t>(slot >> 32) & part.mask
    while part.slots[at]:
        at = (at + 1) & part.mask
    part.slots[at] = slot


cdef inline bint part_resize(Part* part, uint32_t slots) noexcept nogil:
    """Moves to `slots` (a power of two) slots; False, and as before, when memory is out."""
    cdef Part moved
    cdef uint32_t i
    moved.slots = slots_take(slots)
    if moved.slots == NULL:
        return False
    moved.mask = slots - 1
    moved.used = part.used
    for i in range(part.mask + 1):
        if part.slots[i]:
            part_store(&moved, part.slots[i])
    slots_give(part.slots, part.mask + 1)
    part[0] = moved
    return True


cdef inline bint table_put(Table* table, uint32_t hash, uint32_t number) noexcept nogil:
    """Adds a number that is not there; False when memory is out."""
    cdef Part* part = table_part(table, hash)
    if <uint64_t>part.used * 4 >= <uint64_t>part.mask * 3 and not part_resize(part, (part.mask + 1) * 2):
        return False
    part_store(part, <uint64_t>hash << 32 | number)
    part.used += 1
    return True


cdef inline void table_drop(Table* table, uint32_t hash, uint32_t number) noexcept nogil:
    """Removes a number that is there, closes the gap, and gives memory back when the part is almost empty."""
    cdef Part* part = table_part(table, hash)
    cdef uint32_t hole = hash & part.mask, at, home
    while <uint32_t>part.slots[hole] != number:
        hole = (hole + 1) & part.mask
    at = hole
    while True:
        at = (at + 1) & part.mask
        if part.slots[at] == 0:
            break
        home = <uint32_t>(part.slots[at] >> 32) & part.mask
        if ((at - home) & part.mask) >= ((at - hole) & part.mask):
            part.slots[hole] = part.slots[at]
            hole = at
    part.slots[hole] = 0
    part.used -= 1
    if part.mask >= MIN_SLOTS and <uint64_t>part.used * 8 < part.mask:
        part_resize(part, (part.mask + 1) // 2)
