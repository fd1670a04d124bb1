"""A hash table of record numbers beside the records: open addressing, 8 bytes a slot, deletion without tombstones.

It knows hashes and numbers; what makes two keys equal is known to its owner, who looks up with
`at = table_first(...)`, `table_number(...)`, `at = table_next(...)` until the number is 0.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport munmap

from router_ext.pool cimport pages_take

cdef extern from *:
    """
    static inline uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    MIN_SLOTS = 512      # one page

cdef struct Table:
    uint64_t* slots      # hash in the upper half, number in the lower; 0 is empty
    uint32_t mask
    uint32_t used


cdef inline uint64_t hash_pair(uint64_t seed, uint64_t a, uint64_t b) noexcept nogil:
    return fold(fold(a ^ seed, 0x9E3779B97F4A7C15ULL) ^ b, 0xD6E8FEB86659FD93ULL ^ seed)


cdef inline uint64_t hash_bytes(uint64_t seed, uint64_t salt, const uint8_t* s, size_t n) noexcept nogil:
    """A seeded hash: who chooses the topics cannot choose the collisions."""
    cdef uint64_t h = fold(salt ^ seed, 0x9E3779B97F4A7C15ULL) ^ n, v
    while n > 8:
        memcpy(&v, s, 8)
        h = fold(h ^ v, 0xD6E8FEB86659FD93ULL)
        s += 8
        n -= 8
    v = 0
    if n >= 4:
        memcpy(&v, s, 4)
        memcpy(<uint8_t*>&v + 4, s + n - 4, 4)
    elif n:
        v = s[0] | <uint64_t>s[n >> 1] << 8 | <uint64_t>s[n - 1] << 16
    return fold(h ^ v, 0xA0761D6478BD642FULL ^ seed)


cdef inline uint32_t table_first(const Table* table, uint32_t hash) noexcept nogil:
    return hash & table.mask


cdef inline uint32_t table_next(const Table* table, uint32_t at) noexcept nogil:
    return (at + 1) & table.mask


cdef inline uint32_t table_number(const Table* table, uint32_t at) noexcept nogil:
    return <uint32_t>table.slots[at]


cdef inline bint table_hash_is(const Table* table, uint32_t at, uint32_t hash) noexcept nogil:
    return <uint32_t>(table.slots[at] >> 32) == hash


cdef inline size_t table_bytes(const Table* table) noexcept nogil:
    return (<size_t>table.mask + 1) * 8


cdef inline bint table_set_up(Table* table) noexcept nogil:
    table.slots = <uint64_t*>pages_take(MIN_SLOTS * 8)
    table.mask = MIN_SLOTS - 1
    table.used = 0
    return table.slots != NULL


cdef inline void table_tear_down(Table* table) noexcept nogil:
    if table.slots != NULL:
        munmap(table.slots, table_bytes(table))
        table.slots = NULL


cdef inline void table_store(Table* table, uint64_t slot) noexcept nogil:
    cdef uint32_t at = <uint32_t>(slot >> 32) & table.mask
    while table.slots[at]:
        at = (at + 1) & table.mask
    table.slots[at] = slot


cdef inline bint table_resize(Table* table, uint32_t slots) noexcept nogil:
    """Moves to `slots` (a power of two) slots; False, and as before, when memory is out."""
    cdef Table moved
    cdef uint32_t i
    moved.slots = <uint64_t*>pages_take(<size_t>slots * 8)
    if moved.slots == NULL:
        return False
    moved.mask = slots - 1
    moved.used = table.used
    for i in range(table.mask + 1):
        if table.slots[i]:
            table_store(&moved, table.slots[i])
    munmap(table.slots, table_bytes(table))
    table[0] = moved
    return True


cdef inline bint table_put(Table* table, uint32_t hash, uint32_t number) noexcept nogil:
    """Adds a number that is not there; False when memory is out."""
    if <uint64_t>table.used * 4 >= <uint64_t>table.mask * 3 and not table_resize(table, (table.mask + 1) * 2):
        return False
    table_store(table, <uint64_t>hash << 32 | number)
    table.used += 1
    return True


cdef inline void table_drop(Table* table, uint32_t hash, uint32_t number) noexcept nogil:
    """Removes a number that is there, closes the gap, and gives memory back when the table is almost empty."""
    cdef uint32_t hole = hash & table.mask, at, home
    while <uint32_t>table.slots[hole] != number:
        hole = (hole + 1) & table.mask
    at = hole
    while True:
        at = (at + 1) & table.mask
        if table.slots[at] == 0:
            break
        home = <uint32_t>(table.slots[at] >> 32) & table.mask
        if ((at - home) & table.mask) >= ((at - hole) & table.mask):
            table.slots[hole] = table.slots[at]
            hole = at
    table.slots[hole] = 0
    table.used -= 1
    if table.mask >= MIN_SLOTS and <uint64_t>table.used * 8 < table.mask:
        table_resize(table, (table.mask + 1) // 2)
