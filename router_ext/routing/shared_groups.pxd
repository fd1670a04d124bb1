"""Shared subscription groups: the members of each $share/<group>/<filter>, and whose turn it is (section 4.8.2).

Part of the Router, which owns the Shares. A Group owns its name and its lists; the subscriptions of its members are
the table's. Invariants: `members` and `rows` have the same order, and the Subscription of a member has its place in
them; a group without members is freed.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from router_ext.memory.pool cimport Pool, pool_at
from router_ext.routing.subscription cimport Recipient
from router_ext.memory.hash_table cimport Table

cdef enum Strategy:
    PICK_RANDOM
    PICK_ROUND_ROBIN
    PICK_STICKY
    PICK_HASH

cdef struct Group:
    uint32_t next                  # the groups of the same filter
    uint32_t prev
    uint32_t node                  # the filter; 0: a free record
    uint32_t n_members
    uint32_t capacity
    uint32_t first                 # where the walk of the last choice began
    uint32_t name_len
    uint8_t* name
    Recipient* members
    uint32_t* rows                 # the Subscription of each member
    uint32_t* sticky               # publisher bucket -> Subscription; NULL until the strategy needs it

cdef struct Shares:
    Pool groups
    Table names                    # (node, group name) -> Group
    uint64_t seed
    uint64_t random_state
    Strategy strategy


cdef inline Group* share_group(const Shares* shares, uint32_t number) noexcept nogil:
    return <Group*>pool_at(&shares.groups, number)


cdef bint share_set_up(Shares* shares, uint64_t seed) noexcept nogil
cdef void share_tear_down(Shares* shares) noexcept nogil
cdef uint32_t share_find(const Shares* shares, uint32_t node, const uint8_t* name, size_t n) noexcept nogil
cdef uint32_t share_place(Shares* shares, uint32_t node, const uint8_t* name, size_t n, uint32_t* head) noexcept nogil
cdef void share_free(Shares* shares, uint32_t number, uint32_t* head) noexcept nogil
cdef bint share_join(Group* group, Pool* rows, uint32_t number) noexcept nogil
cdef void share_leave(Group* group, Pool* rows, uint32_t number) noexcept nogil
cdef void share_set_member(Group* group, Pool* rows, uint32_t place, uint32_t number) noexcept nogil
cdef Recipient* share_choose(Shares* shares, Group* group, const Pool* rows, uint64_t publisher,
                             uint32_t attempt) noexcept nogil
