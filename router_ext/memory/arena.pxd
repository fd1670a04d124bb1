"""Memory that is taken bit by bit and given back, to the system, all at once.

An Arena owns its blocks, which are pages of their own; whoever has the Arena empties it and tears it down. Pieces are
borrowed: none is freed by itself, and all of them end with `arena_empty`. Invariant: `total` is the size of all
blocks.
"""

from libc.stdint cimport uint8_t
from posix.mman cimport munmap

from router_ext.memory.pool cimport pages_take

cdef enum:
    BLOCK_BYTES = 64 * 1024

cdef struct Block:
    Block* older
    size_t size

cdef struct Arena:
    Block* block         # the newest; pieces are cut from it
    size_t cut           # bytes of it that are taken
    size_t total         # bytes of all blocks


cdef inline bint arena_add(Arena* arena, size_t size) noexcept nogil:
    """A new block with room for `size` bytes; False when memory is out."""
    cdef size_t whole = sizeof(Block) + size
    if whole < BLOCK_BYTES:
        whole = BLOCK_BYTES
    cdef Block* block = <Block*>pages_take(whole)
    if block == NULL:
        return False
    block.older = arena.block
    block.size = whole
    arena.block = block
    arena.cut = sizeof(Block)
    arena.total += whole
    return True


cdef inline void* arena_take(Arena* arena, size_t size) noexcept nogil:
    """`size` bytes, aligned to 8, until the arena is emptied; NULL when memory is out."""
    size = (size + 7) & ~<size_t>7
    if (arena.block == NULL or arena.block.size - arena.cut < size) and not arena_add(arena, size):
        return NULL
    arena.cut += size
    return <uint8_t*>arena.block + arena.cut - size


cdef inline void arena_empty(Arena* arena) noexcept nogil:
    """Gives everything back, but for one block of the usual size."""
    cdef Block* block = arena.block
    cdef Block* kept = NULL
    while block != NULL:
        arena.block = block.older
        if kept == NULL and block.size == BLOCK_BYTES:
            kept = block
        else:
            munmap(block, block.size)
        block = arena.block
    if kept != NULL:
        kept.older = NULL
    arena.block = kept
    arena.cut = sizeof(Block)
    arena.total = BLOCK_BYTES if kept != NULL else 0


cdef inline void arena_tear_down(Arena* arena) noexcept nogil:
    arena_empty(arena)
    if arena.block != NULL:
        munmap(arena.block, arena.block.size)
    arena.block = NULL
    arena.total = 0
