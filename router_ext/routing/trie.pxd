"""Topic filters, or topic names, as a trie of levels.

Nodes lie in slabs and point at one another by number. `+` and `#` are fields of a node; all other children of all
nodes share one hash table keyed by (parent, level), and hang together as siblings. A node that leads to one filter
only keeps the rest of that filter as text, so a filter of many levels costs one node until another needs its path.

A node exists while something ends at it or below it: its user sets `head` or `groups`, and calls `trie_prune` when
both are 0 again.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.memory.pool cimport Pool, pool_at
from router_ext.memory.hash_table cimport Table

cdef enum:
    ROOT = 1                 # the node above all first levels
    TEXT_INLINE = 24
    TEXT_GRAIN = 16          # longer texts lie in pools of 32, 48, … bytes
    TEXT_POOLS = 16          # and those above 16 grains on their own
    LOOK_BYTES = 64          # of text that cost as much as a node

cdef struct Node:
    uint32_t first           # the newest child with a name
    uint32_t next            # siblings with a name
    uint32_t prev
    uint32_t plus            # the child for "+"
    uint32_t hash            # the child for "#"
    uint32_t parent          # 0: the root, or a free record
    uint32_t head            # the user's: what ends here
    uint32_t groups          # the user's: what else ends here
    uint32_t count           # the user's
    uint16_t name_len        # the level
    uint16_t text_len        # the level and the rest of the only filter below it, if any
    uint8_t text[TEXT_INLINE]

cdef struct Trie:
    Pool nodes
    Pool texts[TEXT_POOLS]
    Table children           # (parent, level) -> Node
    uint64_t seed

cdef struct Step:            # a branch still to be walked
    uint32_t node
    uint32_t at              # where the next level begins; beyond the end when there is none

cdef struct Walk:            # memory of a walk, kept for the next one
    Step* steps
    uint32_t* found
    uint32_t n_steps
    uint32_t max_steps
    uint32_t n_found
    uint32_t max_found
    int64_t looks            # what it may yet cost: a node is one, and so are LOOK_BYTES of a level or a rest
    bint cut                 # there was more

cdef struct Place:           # where a cut walk goes on, whatever becomes of the nodes meanwhile
    uint8_t* plus            # for each level from the first: whether it went by the child for "+"
    uint32_t levels
    uint32_t room


cdef inline Node* trie_node(const Trie* trie, uint32_t number) noexcept nogil:
    return <Node*>pool_at(&trie.nodes, number)


cdef inline const uint8_t* trie_text(const Trie* trie, const Node* node) noexcept nogil:
    """The level of a node and the rest below it, `text_len` bytes."""
    if node.text_len <= TEXT_INLINE:
        return node.text
    if node.text_len <= TEXT_GRAIN * TEXT_POOLS:
        return <const uint8_t*>pool_at(&trie.texts[(node.text_len - 1) // TEXT_GRAIN], (<uint32_t*>node.text)[0])
    return (<const uint8_t**>node.text)[0]


cdef bint trie_set_up(Trie* trie, uint64_t seed) noexcept nogil
cdef void trie_tear_down(Trie* trie) noexcept nogil
cdef size_t trie_bytes(const Trie* trie) noexcept nogil
cdef bint trie_holds(const Trie* trie, uint32_t number) noexcept nogil
cdef uint32_t trie_find(const Trie* trie, const uint8_t* topic_filter, size_t n) noexcept nogil
cdef uint32_t trie_reach(const Trie* trie, const uint8_t* path, size_t n, size_t* into) noexcept nogil
cdef bint trie_has_below(const Trie* trie, const uint8_t* level, size_t n) noexcept nogil
cdef uint32_t trie_place(Trie* trie, const uint8_t* topic_filter, size_t n) noexcept nogil
cdef void trie_prune(Trie* trie, uint32_t number) noexcept nogil
cdef bytes trie_path(const Trie* trie, uint32_t number)

cdef bint trie_match(const Trie* trie, const uint8_t* topic, uint32_t n, int64_t looks, Walk* walk) noexcept nogil
cdef bint trie_match_on(const Trie* trie, const uint8_t* topic, uint32_t n, int64_t looks, Walk* walk,
                        const Place* place) noexcept nogil
cdef bint trie_select(const Trie* trie, const uint8_t* topic_filter, uint32_t n, int64_t looks, uint32_t most,
                      Walk* walk) noexcept nogil
cdef void walk_tear_down(Walk* walk) noexcept nogil
cdef bint place_of(const Trie* trie, const Walk* walk, Place* place) noexcept nogil
cdef void place_tear_down(Place* place) noexcept nogil
