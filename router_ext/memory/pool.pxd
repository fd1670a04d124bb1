"""A pool of records of one size, named by number: 4 bytes where a pointer takes 8, at an address that never changes.

Records lie in chunks of 4,096 that come from the system and go back to it when their last record is free. The first
four bytes of a free record link it to the next; its owner keeps a sign of life in the bytes behind them, all zero in
a record never used. Number 0 is nobody.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap

cdef enum:
    CHUNK_BITS = 12
    CHUNK_RECORDS = 1 << 12
    MAX_CHUNKS = 1 << 19       # the highest bit of a number is its user's
    NO_CHUNK = 0xFFFFFFFF

cdef struct Chunk:
    uint8_t* base        # NULL: given back
    uint32_t free        # first free record that was used before, 0 none
    uint32_t fresh       # records from here on were never used
    uint32_t used
    uint32_t next        # neighbours among the chunks with room; given back: next is the next such chunk
    uint32_t prev

cdef struct Pool:
    Chunk* chunks
    size_t record
    uint32_t n_chunks
    uint32_t max_chunks
    uint32_t room        # first chunk with room
    uint32_t vacant      # first chunk given back


cdef inline void* pages_take(size_t size) noexcept nogil:
    """Zeroed pages; NULL when memory is out."""
    cdef void* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    return NULL if p == MAP_FAILED else p


cdef inline void* pool_at(const Pool* pool, uint32_t number) noexcept nogil:
    return pool.chunks[number >> CHUNK_BITS].base + (number & (CHUNK_RECORDS - 1)) * pool.record


cdef inline uint32_t pool_end(const Pool* pool) noexcept nogil:
    """One above the highest number there can be; for walks, with `pool_holds`."""
    return pool.n_chunks << CHUNK_BITS


cdef inline bint pool_holds(const Pool* pool, uint32_t number) noexcept nogil:
    """Whether the number lies in a chunk that exists; the record may be free."""
    return (number >> CHUNK_BITS) < pool.n_chunks and pool.chunks[number >> CHUNK_BITS].base != NULL


cdef inline size_t pool_bytes(const Pool* pool) noexcept nogil:
    cdef size_t total = 0
    cdef uint32_t i
    for i in range(pool.n_chunks):
        if pool.chunks[i].base != NULL:
            total += CHUNK_RECORDS * pool.record
    return total


cdef inline void pool_set_up(Pool* pool, size_t record) noexcept nogil:
    memset(pool, 0, sizeof(Pool))
    pool.record = record
    pool.room = NO_CHUNK
    pool.vacant = NO_CHUNK


cdef inline void pool_show(Pool* pool, uint32_t c) noexcept nogil:
    """Puts chunk `c` at the head of those with room."""
    pool.chunks[c].prev = NO_CHUNK
    pool.chunks[c].next = pool.room
    if pool.room != NO_CHUNK:
        pool.chunks[pool.room].prev = c
    pool.room = c


cdef inline void pool_hide(Pool* pool, uint32_t c) noexcept nogil:
    cdef Chunk* chunk = pool.chunks + c
    if chunk.prev == NO_CHUNK:
        pool.room = chunk.next
    else:
        pool.chunks[chunk.prev].next = chunk.next
    if chunk.next != NO_CHUNK:
        pool.chunks[chunk.next].prev = chunk.prev


cdef inline uint32_t pool_new_number(Pool* pool) noexcept nogil:
    """The number of a chunk to fill; NO_CHUNK when memory is out."""
    cdef uint32_t c = pool.vacant, wanted
    cdef void* grown
    if c != NO_CHUNK:
        pool.vacant = pool.chunks[c].next
        return c
    if pool.n_chunks == pool.max_chunks:
        wanted = pool.max_chunks * 2 if pool.max_chunks else 4
        if wanted > MAX_CHUNKS:
            return NO_CHUNK
        grown = realloc(pool.chunks, wanted * sizeof(Chunk))
        if grown == NULL:
            return NO_CHUNK
        pool.chunks = <Chunk*>grown
        pool.max_chunks = wanted
    pool.n_chunks += 1
    return pool.n_chunks - 1


cdef inline bint pool_grow(Pool* pool) noexcept nogil:
    """One more chunk; False when memory is out."""
    cdef uint8_t* base = <uint8_t*>pages_take(CHUNK_RECORDS * pool.record)
    cdef uint32_t c
    if base == NULL:
        return False
    c = pool_new_number(pool)
    if c == NO_CHUNK:
        munmap(base, CHUNK_RECORDS * pool.record)
        return False
    memset(pool.chunks + c, 0, sizeof(Chunk))
    pool.chunks[c].base = base
    if c == 0:
        pool.chunks[c].fresh = 1
        pool.chunks[c].used = 1
    pool_show(pool, c)
    return True


cdef inline uint32_t pool_take(Pool* pool) noexcept nogil:
    """A record, 0 when memory is out. What was in it is still there: the owner writes every field."""
    cdef Chunk* chunk
    cdef uint32_t c, number
    if pool.room == NO_CHUNK and not pool_grow(pool):
        return 0
    c = pool.room
    chunk = pool.chunks + c
    if chunk.free:
        number = chunk.free
        chunk.free = (<uint32_t*>pool_at(pool, number))[0]
    else:
        number = (c << CHUNK_BITS) + chunk.fresh
        chunk.fresh += 1
    chunk.used += 1
    if chunk.used == CHUNK_RECORDS:
        pool_hide(pool, c)
    return number


cdef inline void pool_give(Pool* pool, uint32_t number) noexcept nogil:
    cdef uint32_t c = number >> CHUNK_BITS
    cdef Chunk* chunk = pool.chunks + c
    (<uint32_t*>pool_at(pool, number))[0] = chunk.free
    chunk.free = number
    if chunk.used == CHUNK_RECORDS:
        pool_show(pool, c)
    chunk.used -= 1
    # The last chunk with room stays: a client that comes and goes must not map and unmap it each time.
    if chunk.used == 0 and (chunk.next != NO_CHUNK or chunk.prev != NO_CHUNK):
        pool_hide(pool, c)
        munmap(chunk.base, CHUNK_RECORDS * pool.record)
        chunk.base = NULL
        chunk.next = pool.vacant
        pool.vacant = c


cdef inline void pool_tear_down(Pool* pool) noexcept nogil:
    cdef uint32_t c
    for c in range(pool.n_chunks):
        if pool.chunks[c].base != NULL:
            munmap(pool.chunks[c].base, CHUNK_RECORDS * pool.record)
    free(pool.chunks)
    pool_set_up(pool, pool.record)
