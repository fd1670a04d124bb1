"""One level of a trie, walked some names at a time.

A Level borrows the trie, and keeps its owner alive. The trie may change between two steps: the walk remembers the path
and the next child, and begins anew where that is gone, a bounded number of times.
"""

from libc.stdint cimport uint32_t

from router_ext.routing.trie cimport Trie

cdef class Level:
    cdef object owner            # of the trie
    cdef const Trie* trie
    cdef bytes path              # whose children these are; None: the first level
    cdef uint32_t parent         # its node, as of the last look,
    cdef uint32_t at             # and the child to be looked at next, 0 behind the last
    cdef uint32_t restarts
    cdef readonly bint done

    cdef void begin(self) noexcept
    cdef bint is_here(self) noexcept

cdef Level level_of(object owner, const Trie* trie, bytes path)
cdef uint32_t children_of(const Trie* trie, bytes path, uint32_t most) noexcept
