"""Shared subscription groups (MQTT 5.0, section 4.8.2): see shared_groups.pxd for the layout."""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from router_ext.memory.pool cimport pool_end, pool_give, pool_holds, pool_set_up, pool_take, pool_tear_down
from router_ext.routing.subscription cimport NO_ROW, Subscription, recipient_set, row_at
from router_ext.memory.hash_table cimport (
    Part, hash_bytes, mix, table_drop, table_first, table_hash_is, table_next, table_number, table_part, table_put,
    table_set_up, table_tear_down,
)

cdef uint32_t STICKY_BUCKETS = 256


cdef bint share_set_up(Shares* shares, uint64_t seed) noexcept nogil:
    """No groups; False when memory is out."""
    memset(shares, 0, sizeof(Shares))
    shares.seed = seed
    shares.random_state = seed | 1
    pool_set_up(&shares.groups, sizeof(Group))
    return table_set_up(&shares.names)


cdef void share_tear_down(Shares* shares) noexcept nogil:
    cdef uint32_t i
    for i in range(pool_end(&shares.groups)):
        if pool_holds(&shares.groups, i) and share_group(shares, i).node:
            free_arrays(share_group(shares, i))
    pool_tear_down(&shares.groups)
    table_tear_down(&shares.names)


cdef void free_arrays(Group* group) noexcept nogil:
    free(group.name)
    free(group.members)
    free(group.rows)
    free(group.sticky)


# --- groups --------------------------------------------------------------------------------------------------------

cdef inline uint32_t hash_name(const Shares* shares, uint32_t node, const uint8_t* name, size_t n) noexcept nogil:
    return <uint32_t>hash_bytes(shares.seed, node, name, n)


cdef uint32_t share_find(const Shares* shares, uint32_t node, const uint8_t* name, size_t n) noexcept nogil:
    """The group of that name at a node, 0 when there is none."""
    cdef uint32_t hash = hash_name(shares, node, name, n)
    cdef Part* part = table_part(&shares.names, hash)
    cdef uint32_t at = table_first(part, hash)
    cdef uint32_t number = table_number(part, at)
    cdef Group* group
    while number:
        if table_hash_is(part, at, hash):
            group = share_group(shares, number)
            if group.node == node and group.name_len == n and memcmp(group.name, name, n) == 0:
                return number
        at = table_next(part, at)
        number = table_number(part, at)
    return 0


cdef uint32_t share_place(Shares* shares, uint32_t node, const uint8_t* name, size_t n, uint32_t* head) noexcept nogil:
    """A new group at a node, at the `head` of its groups; 0 when memory is out."""
    cdef uint32_t number = pool_take(&shares.groups)
    cdef Group* group
    if number == 0:
        return 0
    group = share_group(shares, number)
    memset(group, 0, sizeof(Group))
    group.name = <uint8_t*>malloc(n if n else 1)
    if group.name == NULL or not table_put(&shares.names, hash_name(shares, node, name, n), number):
        free(group.name)
        pool_give(&shares.groups, number)
        return 0
    memcpy(group.name, name, n)
    group.name_len = <uint32_t>n
    group.node = node
    group.next = head[0]
    if group.next:
        share_group(shares, group.next).prev = number
    head[0] = number
    return number


cdef void share_free(Shares* shares, uint32_t number, uint32_t* head) noexcept nogil:
    """Removes a group from its node."""
    cdef Group* group = share_group(shares, number)
    if group.prev:
        share_group(shares, group.prev).next = group.next
    else:
        head[0] = group.next
    if group.next:
        share_group(shares, group.next).prev = group.prev
    table_drop(&shares.names, hash_name(shares, group.node, group.name, group.name_len), number)
    free_arrays(group)
    group.node = 0
    pool_give(&shares.groups, number)


# --- members -------------------------------------------------------------------------------------------------------

cdef bint resize(Group* group, uint32_t capacity) noexcept nogil:
    cdef void* members
    cdef void* rows
    if capacity < group.capacity:
        group.capacity = capacity
    members = realloc(group.members, capacity * sizeof(Recipient))
    if members == NULL:
        return False
    group.members = <Recipient*>members
    rows = realloc(group.rows, capacity * sizeof(uint32_t))
    if rows == NULL:
        return False
    group.rows = <uint32_t*>rows
    group.capacity = capacity
    return True


cdef void share_set_member(Group* group, Pool* rows, uint32_t place, uint32_t number) noexcept nogil:
    cdef Subscription* row = row_at(rows, number)
    row.next = place
    group.rows[place] = number
    recipient_set(group.members + place, row)


cdef bint share_join(Group* group, Pool* rows, uint32_t number) noexcept nogil:
    """False when memory is out."""
    if group.n_members == group.capacity and not resize(group, max(group.capacity * 2, 2)):
        return False
    share_set_member(group, rows, group.n_members, number)
    group.n_members += 1
    return True


cdef void share_leave(Group* group, Pool* rows, uint32_t number) noexcept nogil:
    """The last member moves to the place that falls free."""
    cdef uint32_t place = row_at(rows, number).next, i
    group.n_members -= 1
    if place != group.n_members:
        share_set_member(group, rows, place, group.rows[group.n_members])
    if group.sticky != NULL:
        for i in range(STICKY_BUCKETS):
            if group.sticky[i] == number:
                group.sticky[i] = NO_ROW
    if group.capacity > 2 and group.n_members * 4 <= group.capacity:
        resize(group, group.capacity // 2)


# --- whose turn it is ----------------------------------------------------------------------------------------------

cdef uint32_t random_place(Shares* shares, Group* group) noexcept nogil:
    """xorshift64*: the choice of a member needs no secrecy."""
    cdef uint64_t x = shares.random_state
    x ^= x >> 12
    x ^= x << 25
    x ^= x >> 27
    shares.random_state = x
    return <uint32_t>(((x * 0x2545F4914F6CDD1DULL) >> 32) % group.n_members)


cdef inline uint64_t hash_publisher(Shares* shares, uint64_t publisher) noexcept nogil:
    return mix(publisher ^ shares.seed, 0x9E3779B97F4A7C15ULL)


cdef uint32_t sticky_place(Shares* shares, Group* group, const Pool* rows, uint64_t publisher) noexcept nogil:
    """The same member for a publisher for as long as it stays, at random to begin with.

    Publishers share 256 buckets, so the state stays small however many of them come by."""
    cdef uint32_t* bucket
    if group.sticky == NULL:
        group.sticky = <uint32_t*>malloc(STICKY_BUCKETS * sizeof(uint32_t))
        if group.sticky == NULL:
            return random_place(shares, group)
        memset(group.sticky, 0, STICKY_BUCKETS * sizeof(uint32_t))
    bucket = group.sticky + hash_publisher(shares, publisher) % STICKY_BUCKETS
    if bucket[0] == NO_ROW:
        bucket[0] = group.rows[random_place(shares, group)]
    return row_at(rows, bucket[0]).next


cdef uint32_t first_place(Shares* shares, Group* group, const Pool* rows, uint64_t publisher) noexcept nogil:
    if shares.strategy == PICK_ROUND_ROBIN:
        return (group.first + 1) % group.n_members
    if shares.strategy == PICK_STICKY:
        return sticky_place(shares, group, rows, publisher)
    if shares.strategy == PICK_HASH:
        return <uint32_t>(hash_publisher(shares, publisher) % group.n_members)
    return random_place(shares, group)


cdef Recipient* share_choose(Shares* shares, Group* group, const Pool* rows, uint64_t publisher,
                             uint32_t attempt) noexcept nogil:
    """The member that gets a message: attempt 0 asks the strategy, 1, 2, … walk every other member once.

    `publisher` is a number that stands for the publishing client. NULL when all members were walked. Valid until
    the group changes."""
    if attempt >= group.n_members:
        return NULL
    if attempt == 0:
        group.first = first_place(shares, group, rows, publisher)
    return group.members + (<uint64_t>group.first + attempt) % group.n_members
