"""The subscription table (MQTT 5.0 and 3.1.1, sections 4.7 and 4.8); see router.pxd for the layout.

A subscription belongs to an owner: a node of the trie (the filter), or a shared group of that node. It is in three
places: the list of its subscriber, the list of its node (or the array of its group), and `places`, which finds it
from (subscriber, owner) in one step however many there are on either side.
"""

import os

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset
from posix.mman cimport munmap

from router_ext.arena cimport arena_empty, arena_take, arena_tear_down
from router_ext.pool cimport (pages_take, pool_at, pool_bytes, pool_end, pool_give, pool_holds, pool_set_up,
                              pool_take, pool_tear_down)
from router_ext.table cimport (fold, hash_bytes, hash_pair, table_bytes, table_drop, table_first, table_hash_is,
                               table_next, table_number, table_put, table_replace, table_set_up, table_tear_down)
from router_ext.topic cimport level_end, levels_match

from typing import NamedTuple

cdef enum:
    ROOT = 1                   # the first node taken
    SHARED = 0x80000000        # in Subscription.owner: a group, not a node
    STICKY_BUCKETS = 256
    NO_ROW = 0
    MAX_IDS = 0xFFFF

STRATEGIES = ("random", "round_robin", "sticky", "hash")      # in the order of Strategy


class Counts(NamedTuple):
    topics: int            # routes: one for each filter, one more for each shared group of a filter
    subscribers: int       # subscriptions that are not shared
    subscriptions: int     # all
    shared: int


cdef class Subscriber:
    pass


# --- nodes ---------------------------------------------------------------------------------------------------------

cdef inline const uint8_t* node_text(const Node* node) noexcept nogil:
    if node.text_len <= sizeof(node.text):
        return node.text
    return (<const uint8_t**>node.text)[0]


cdef bint node_set_text(Node* node, const uint8_t* text, size_t n, size_t name_len) noexcept nogil:
    """Gives a node that has no text of its own outside its record its text; False when memory is out."""
    cdef uint8_t* copy = node.text
    if n > sizeof(node.text):
        copy = <uint8_t*>malloc(n)
        if copy == NULL:
            return False
        (<uint8_t**>node.text)[0] = copy
    memmove(copy, text, n)
    node.text_len = <uint16_t>n
    node.name_len = <uint16_t>name_len
    return True


cdef inline void node_free_text(Node* node) noexcept nogil:
    if node.text_len > sizeof(node.text):
        free((<uint8_t**>node.text)[0])
    node.text_len = 0


cdef inline bint is_wildcard(const uint8_t* level, size_t n, uint8_t which) noexcept nogil:
    return n == 1 and level[0] == which


@cython.final
cdef class Router:

    def __cinit__(self, str strategy="random", *, uint32_t cache_entries=65536, size_t cache_bytes=16 << 20):
        """`strategy` picks the member of a shared group; the cache of match results holds at most so many topics,
        and at most so many bytes and one result."""
        pool_set_up(&self.nodes, sizeof(Node))
        pool_set_up(&self.rows, sizeof(Subscription))
        pool_set_up(&self.groups, sizeof(Group))
        if not (table_set_up(&self.children) and table_set_up(&self.places) and table_set_up(&self.names)):
            raise MemoryError
        self.seed = int.from_bytes(os.urandom(8), "little")
        self.random_state = int.from_bytes(os.urandom(8), "little") | 1
        if pool_take(&self.nodes) != ROOT:
            raise MemoryError
        memset(self.node(ROOT), 0, sizeof(Node))
        self.cache.max_bytes = cache_bytes
        self.cache.max_entries = max(cache_entries, 1)
        self.cache.mask = (1 << int(self.cache.max_entries * 2 - 1).bit_length()) - 1
        self.cache.slots = <CacheSlot*>pages_take((<size_t>self.cache.mask + 1) * sizeof(CacheSlot))
        if self.cache.slots == NULL:
            raise MemoryError
        self.cache.era = 1
        self.strategy = strategy

    def __dealloc__(self):
        self.release_subscribers()
        self.release_texts()
        pool_tear_down(&self.nodes)
        pool_tear_down(&self.rows)
        pool_tear_down(&self.groups)
        table_tear_down(&self.children)
        table_tear_down(&self.places)
        table_tear_down(&self.names)
        arena_tear_down(&self.arena)
        if self.cache.slots != NULL:
            munmap(self.cache.slots, (<size_t>self.cache.mask + 1) * sizeof(CacheSlot))
        free(self.steps)
        free(self.found)

    cdef void release_subscribers(self) noexcept:
        cdef uint32_t i
        cdef Subscription* row
        cdef Subscriber subscriber
        for i in range(pool_end(&self.rows)):
            if pool_holds(&self.rows, i):
                row = self.row(i)
                if row.subscriber != NULL:
                    subscriber = <Subscriber>row.subscriber
                    subscriber.subscriptions = NO_ROW
                    subscriber.subscription_count = 0
                    subscriber.home = NULL
                    Py_DECREF(subscriber)

    cdef void release_texts(self) noexcept:
        cdef uint32_t i
        for i in range(pool_end(&self.nodes)):
            if pool_holds(&self.nodes, i) and self.node(i).parent:
                node_free_text(self.node(i))
        for i in range(pool_end(&self.groups)):
            if pool_holds(&self.groups, i) and self.group(i).node:
                self.free_members(self.group(i))

    # --- records by number -----------------------------------------------------------------------------------------

    cdef Node* node(self, uint32_t number) noexcept:
        return <Node*>pool_at(&self.nodes, number)

    cdef Subscription* row(self, uint32_t number) noexcept:
        return <Subscription*>pool_at(&self.rows, number)

    cdef Group* group(self, uint32_t number) noexcept:
        return <Group*>pool_at(&self.groups, number)

    # --- the trie ---------------------------------------------------------------------------------------------------

    cdef uint32_t hash_level(self, uint32_t parent, const uint8_t* level, size_t n) noexcept:
        return <uint32_t>hash_bytes(self.seed, parent, level, n)

    cdef uint32_t named_child(self, uint32_t parent, const uint8_t* level, size_t n) noexcept:
        cdef uint32_t hash = self.hash_level(parent, level, n)
        cdef uint32_t at = table_first(&self.children, hash)
        cdef uint32_t number = table_number(&self.children, at)
        cdef Node* node
        while number:
            if table_hash_is(&self.children, at, hash):
                node = self.node(number)
                if node.parent == parent and node.name_len == n and memcmp(node_text(node), level, n) == 0:
                    return number
            at = table_next(&self.children, at)
            number = table_number(&self.children, at)
        return 0

    cdef uint32_t child(self, uint32_t parent, const uint8_t* level, size_t n) noexcept:
        """The child of `parent` for a level of a filter, 0 when there is none."""
        if is_wildcard(level, n, b"+"):
            return self.node(parent).plus
        if is_wildcard(level, n, b"#"):
            return self.node(parent).hash
        return self.named_child(parent, level, n)

    cdef bint link(self, uint32_t number) noexcept:
        """Makes a node known to its parent; False when memory is out."""
        cdef Node* node = self.node(number)
        cdef Node* parent = self.node(node.parent)
        cdef const uint8_t* text = node_text(node)
        if is_wildcard(text, node.name_len, b"+"):
            parent.plus = number
        elif is_wildcard(text, node.name_len, b"#"):
            parent.hash = number
        elif not table_put(&self.children, self.hash_level(node.parent, text, node.name_len), number):
            return False
        parent.children += 1
        return True

    cdef void unlink(self, uint32_t number) noexcept:
        cdef Node* node = self.node(number)
        cdef Node* parent = self.node(node.parent)
        parent.children -= 1
        if parent.plus == number:
            parent.plus = 0
        elif parent.hash == number:
            parent.hash = 0
        else:
            table_drop(&self.children, self.hash_level(node.parent, node_text(node), node.name_len), number)

    cdef uint32_t new_node(self, uint32_t parent, const uint8_t* text, size_t n, size_t name_len) noexcept:
        """A node known to its parent; 0 when memory is out."""
        cdef uint32_t number = pool_take(&self.nodes)
        cdef Node* node
        if number == 0:
            return 0
        node = self.node(number)
        memset(node, 0, sizeof(Node))
        if node_set_text(node, text, n, name_len):
            node.parent = parent
            if self.link(number):
                return number
            node_free_text(node)
        self.free_node(number)
        return 0

    cdef void free_node(self, uint32_t number) noexcept:
        self.node(number).parent = 0
        pool_give(&self.nodes, number)

    cdef uint32_t split(self, uint32_t number) noexcept:
        """Puts a node for the level alone above one that keeps the rest of its filter; 0 when memory is out.

        The lower one keeps its number, so nothing that points at the filter has to change."""
        cdef Node* lower = self.node(number)
        cdef uint32_t above = lower.parent, upper
        cdef Node kept = lower[0]
        cdef const uint8_t* text = node_text(&kept)
        cdef size_t rest = kept.name_len + 1
        self.unlink(number)
        upper = self.new_node(above, text, kept.name_len, kept.name_len)
        if upper:
            lower.parent = upper
            if node_set_text(lower, text + rest, kept.text_len - rest, level_end(text, rest, kept.text_len) - rest):
                if self.link(number):
                    node_free_text(&kept)
                    return upper
                node_free_text(lower)
            self.unlink(upper)
            self.free_node(upper)
        lower[0] = kept
        self.link(number)
        return 0

    cdef uint32_t place(self, const uint8_t* topic_filter, size_t n) noexcept:
        """The node of a filter, made when there is none; 0 when memory is out."""
        cdef uint32_t at = ROOT, child
        cdef size_t begin = 0, end
        cdef Node* node
        while True:
            end = level_end(topic_filter, begin, n)
            child = self.child(at, topic_filter + begin, end - begin)
            if child == 0:
                return self.new_node(at, topic_filter + begin, n - begin, end - begin)
            node = self.node(child)
            if node.text_len == n - begin and memcmp(node_text(node), topic_filter + begin, n - begin) == 0:
                return child
            if node.text_len > node.name_len:
                child = self.split(child)
            if child == 0 or end == n:
                return child
            at = child
            begin = end + 1

    cdef uint32_t find(self, const uint8_t* topic_filter, size_t n) noexcept:
        """The node of a filter, 0 when there is none."""
        cdef uint32_t at = ROOT
        cdef size_t begin = 0, end
        cdef Node* node
        while True:
            end = level_end(topic_filter, begin, n)
            at = self.child(at, topic_filter + begin, end - begin)
            if at == 0:
                return 0
            node = self.node(at)
            if node.text_len > node.name_len or end == n:
                if node.text_len == n - begin and memcmp(node_text(node), topic_filter + begin, n - begin) == 0:
                    return at
                return 0
            begin = end + 1

    cdef void prune(self, uint32_t number) noexcept:
        """Frees a node that nothing needs any more, and those above it that were there for it."""
        cdef Node* node = self.node(number)
        cdef uint32_t parent
        while number != ROOT and not (node.rows or node.groups or node.children):
            parent = node.parent
            self.unlink(number)
            node_free_text(node)
            self.free_node(number)
            number = parent
            node = self.node(number)

    cdef bytes filter_of(self, uint32_t number):
        cdef list parts = []
        cdef Node* node
        while number != ROOT:
            node = self.node(number)
            parts.append(node_text(node)[:node.text_len])
            number = node.parent
        parts.reverse()
        return b"/".join(parts)

    # --- shared groups ----------------------------------------------------------------------------------------------

    cdef uint32_t hash_group(self, uint32_t node, const uint8_t* name, size_t n) noexcept:
        return <uint32_t>hash_bytes(self.seed, node, name, n)

    cdef uint32_t find_group(self, uint32_t node, const uint8_t* name, size_t n) noexcept:
        cdef uint32_t hash = self.hash_group(node, name, n)
        cdef uint32_t at = table_first(&self.names, hash)
        cdef uint32_t number = table_number(&self.names, at)
        cdef Group* group
        while number:
            if table_hash_is(&self.names, at, hash):
                group = self.group(number)
                if group.node == node and group.name_len == n and memcmp(group.name, name, n) == 0:
                    return number
            at = table_next(&self.names, at)
            number = table_number(&self.names, at)
        return 0

    cdef uint32_t place_group(self, uint32_t node_number, const uint8_t* name, size_t n) noexcept:
        """The group of that name of a node, made when there is none; 0 when memory is out."""
        cdef uint32_t number = self.find_group(node_number, name, n)
        cdef Group* group
        cdef Node* node = self.node(node_number)
        if number:
            return number
        number = pool_take(&self.groups)
        if number == 0:
            return 0
        group = self.group(number)
        memset(group, 0, sizeof(Group))
        group.name = <uint8_t*>malloc(n if n else 1)
        if group.name == NULL or not table_put(&self.names, self.hash_group(node_number, name, n), number):
            free(group.name)
            pool_give(&self.groups, number)
            return 0
        memcpy(group.name, name, n)
        group.name_len = <uint32_t>n
        group.node = node_number
        group.next = node.groups
        if node.groups:
            self.group(node.groups).prev = number
        node.groups = number
        self.topic_count += 1
        return number

    cdef void free_members(self, Group* group) noexcept:
        free(group.name)
        free(group.members)
        free(group.rows)
        free(group.sticky)

    cdef void free_group(self, uint32_t number) noexcept:
        cdef Group* group = self.group(number)
        if group.prev:
            self.group(group.prev).next = group.next
        else:
            self.node(group.node).groups = group.next
        if group.next:
            self.group(group.next).prev = group.prev
        table_drop(&self.names, self.hash_group(group.node, group.name, group.name_len), number)
        self.free_members(group)
        group.node = 0
        pool_give(&self.groups, number)
        self.topic_count -= 1

    cdef bint resize_group(self, Group* group, uint32_t capacity) noexcept:
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

    cdef void set_member(self, Group* group, uint32_t place, uint32_t number) noexcept:
        cdef Subscription* row = self.row(number)
        row.next = place
        group.rows[place] = number
        recipient_set(group.members + place, row)

    cdef bint join_group(self, Group* group, uint32_t number) noexcept:
        if group.n_members == group.capacity and not self.resize_group(group, max(group.capacity * 2, 2)):
            return False
        self.set_member(group, group.n_members, number)
        group.n_members += 1
        return True

    cdef void leave_group(self, Group* group, uint32_t number) noexcept:
        cdef uint32_t place = self.row(number).next, i, buckets = STICKY_BUCKETS
        group.n_members -= 1
        if place != group.n_members:
            self.set_member(group, place, group.rows[group.n_members])
        if group.sticky != NULL:
            for i in range(buckets):
                if group.sticky[i] == number:
                    group.sticky[i] = NO_ROW
        if group.capacity > 2 and group.n_members * 4 <= group.capacity:
            self.resize_group(group, group.capacity // 2)

    cdef uint64_t random(self) noexcept:
        """xorshift64*: the choice of a member needs no secrecy."""
        cdef uint64_t x = self.random_state
        x ^= x >> 12
        x ^= x << 25
        x ^= x >> 27
        self.random_state = x
        return (x * 0x2545F4914F6CDD1DULL) >> 32

    cdef uint32_t sticky_place(self, Group* group, uint64_t publisher) noexcept:
        """The same member for a publisher for as long as it stays, at random to begin with.

        Publishers share 256 buckets, so a group's state stays small however many publishers come by."""
        cdef uint32_t* bucket
        cdef uint32_t place = <uint32_t>(self.random() % group.n_members)
        if group.sticky == NULL:
            group.sticky = <uint32_t*>malloc(STICKY_BUCKETS * sizeof(uint32_t))
            if group.sticky == NULL:
                return place
            memset(group.sticky, 0, STICKY_BUCKETS * sizeof(uint32_t))
        bucket = group.sticky + fold(publisher ^ self.seed, 0x9E3779B97F4A7C15ULL) % STICKY_BUCKETS
        if bucket[0] == NO_ROW:
            bucket[0] = group.rows[place]
        return self.row(bucket[0]).next

    cdef uint32_t first_place(self, Group* group, uint64_t publisher) noexcept:
        if self._strategy == PICK_ROUND_ROBIN:
            return (group.first + 1) % group.n_members
        if self._strategy == PICK_STICKY:
            return self.sticky_place(group, publisher)
        if self._strategy == PICK_HASH:
            return <uint32_t>(fold(publisher ^ self.seed, 0x9E3779B97F4A7C15ULL) % group.n_members)
        return <uint32_t>(self.random() % group.n_members)

    cdef Recipient* choose(self, Group* group, uint64_t publisher, uint32_t attempt) noexcept:
        """The member that gets a message: attempt 0 asks the strategy, 1, 2, … walk every other member once.

        `publisher` is a number that stands for the publishing client. NULL when all members were walked. Valid
        until the table changes."""
        if attempt >= group.n_members:
            return NULL
        if attempt == 0:
            group.first = self.first_place(group, publisher)
        return group.members + (group.first + attempt) % group.n_members

    @property
    def strategy(self):
        """How a shared group picks its member: random, round_robin, sticky or hash."""
        return STRATEGIES[self._strategy]

    @strategy.setter
    def strategy(self, str name not None):
        if name not in STRATEGIES:
            raise ValueError(f"no such strategy: {name!r}")
        self._strategy = STRATEGIES.index(name)

    # --- subscriptions ----------------------------------------------------------------------------------------------

    cdef uint32_t hash_place(self, PyObject* subscriber, uint32_t owner) noexcept:
        return <uint32_t>hash_pair(self.seed, <uint64_t>subscriber, owner)

    cdef uint32_t find_row(self, Subscriber subscriber, uint32_t owner) noexcept:
        cdef PyObject* key = <PyObject*>subscriber
        cdef uint32_t hash = self.hash_place(key, owner)
        cdef uint32_t at = table_first(&self.places, hash)
        cdef uint32_t number = table_number(&self.places, at)
        cdef Subscription* row
        while number:
            if table_hash_is(&self.places, at, hash):
                row = self.row(number)
                if row.subscriber == key and row.owner == owner:
                    return number
            at = table_next(&self.places, at)
            number = table_number(&self.places, at)
        return NO_ROW

    cdef uint32_t place_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                              size_t n_group) noexcept:
        """The owner of a subscription, made when there is none; 0 when memory is out."""
        cdef uint32_t node = self.place(topic_filter, n), number
        if node == 0 or group == NULL:
            return node
        number = self.place_group(node, group, n_group)
        if number == 0:
            self.prune(node)
            return 0
        return number | SHARED

    cdef uint32_t find_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                             size_t n_group) noexcept:
        cdef uint32_t node = self.find(topic_filter, n), number
        if node == 0 or group == NULL:
            return node
        number = self.find_group(node, group, n_group)
        return number | SHARED if number else 0

    cdef void drop_owner(self, uint32_t owner) noexcept:
        """Frees an owner that has no subscriptions left."""
        cdef uint32_t node = owner
        if owner & SHARED:
            node = self.group(owner & ~SHARED).node
            if self.group(owner & ~SHARED).n_members == 0:
                self.free_group(owner & ~SHARED)
        self.prune(node)

    cdef bint attach(self, uint32_t number) noexcept:
        """Puts a subscription at its owner; False when memory is out."""
        cdef Subscription* row = self.row(number)
        cdef Node* node
        if row.owner & SHARED:
            if not self.join_group(self.group(row.owner & ~SHARED), number):
                return False
            self.shared_count += 1
            return True
        node = self.node(row.owner)
        if node.rows == NO_ROW:
            self.topic_count += 1
        else:
            self.row(node.rows).prev = number
        row.next = node.rows
        node.rows = number
        node.n_rows += 1
        self.subscriber_count += 1
        return True

    cdef void detach(self, uint32_t number) noexcept:
        cdef Subscription* row = self.row(number)
        cdef Node* node
        if row.owner & SHARED:
            self.leave_group(self.group(row.owner & ~SHARED), number)
            self.shared_count -= 1
            return
        node = self.node(row.owner)
        if row.prev:
            self.row(row.prev).next = row.next
        else:
            node.rows = row.next
        if row.next:
            self.row(row.next).prev = row.prev
        node.n_rows -= 1
        if node.rows == NO_ROW:
            self.topic_count -= 1
        self.subscriber_count -= 1

    cdef uint32_t new_row(self, Subscriber subscriber, uint32_t owner, uint8_t opts, uint32_t subid) noexcept:
        """A subscription at its owner and its subscriber; 0 when memory is out."""
        cdef uint32_t number = pool_take(&self.rows)
        cdef Subscription* row
        if number == 0:
            return 0
        row = self.row(number)
        memset(row, 0, sizeof(Subscription))
        row.subscriber = <PyObject*>subscriber
        row.owner = owner
        row.opts = opts
        row.subid = subid
        if table_put(&self.places, self.hash_place(row.subscriber, owner), number):
            if self.attach(number):
                row.earlier = subscriber.subscriptions
                if row.earlier:
                    self.row(row.earlier).later = number
                subscriber.subscriptions = number
                subscriber.subscription_count += 1
                subscriber.home = <void*>self
                Py_INCREF(subscriber)
                return number
            table_drop(&self.places, self.hash_place(row.subscriber, owner), number)
        row.subscriber = NULL
        pool_give(&self.rows, number)
        return 0

    cdef void free_row(self, uint32_t number) noexcept:
        cdef Subscription* row = self.row(number)
        cdef Subscriber subscriber = <Subscriber>row.subscriber
        cdef uint32_t owner = row.owner
        if row.later:
            self.row(row.later).earlier = row.earlier
        else:
            subscriber.subscriptions = row.earlier
        if row.earlier:
            self.row(row.earlier).later = row.later
        subscriber.subscription_count -= 1
        if subscriber.subscription_count == 0:
            subscriber.home = NULL
        self.detach(number)
        table_drop(&self.places, self.hash_place(row.subscriber, owner), number)
        row.subscriber = NULL
        pool_give(&self.rows, number)
        self.drop_owner(owner)
        self.generation += 1
        Py_DECREF(subscriber)

    cdef int add(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber, uint8_t opts, uint32_t subid,
                 const uint8_t* group, size_t n_group) except -1:
        """Subscribes to a valid filter (without its `$share/` part; `group` NULL when it is not shared).

        1 when it is new, 0 when it replaces an identical one [MQTT-3.8.4-3]."""
        cdef uint32_t owner, number
        cdef Subscription* row
        if subscriber.home != NULL and subscriber.home != <void*>self:
            raise ValueError("the subscriber has subscriptions in another router")
        owner = self.place_owner(topic_filter, n, group, n_group)
        if owner == 0:
            raise MemoryError
        self.generation += 1
        number = self.find_row(subscriber, owner)
        if number == NO_ROW:
            if self.new_row(subscriber, owner, opts, subid) == NO_ROW:
                self.drop_owner(owner)
                raise MemoryError
            return 1
        row = self.row(number)
        row.opts = opts
        row.subid = subid
        if owner & SHARED:
            self.set_member(self.group(owner & ~SHARED), row.next, number)
        return 0

    cdef int remove(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber,
                    const uint8_t* group, size_t n_group) except -1:
        """1 when there was such a subscription, 0 when not."""
        cdef uint32_t owner = self.find_owner(topic_filter, n, group, n_group)
        cdef uint32_t number = self.find_row(subscriber, owner) if owner else NO_ROW
        if number == NO_ROW:
            return 0
        self.free_row(number)
        return 1

    def subscribe(self, bytes topic_filter not None, Subscriber subscriber not None, uint8_t opts,
                  uint32_t subid=0, bytes group=None) -> bool:
        """Subscribes to a valid filter; True when it is new, False when an identical one is replaced.

        `opts` is the SUBSCRIBE option byte, `subid` the subscription identifier (0 none), `group` the share name.
        ValueError for a filter without bytes or longer than MQTT can say."""
        if not 0 < len(topic_filter) <= 0xFFFF or (group is not None and len(group) > 0xFFFF):
            raise ValueError("a topic filter has 1 to 65,535 bytes")
        if group is None:
            return self.add(topic_filter, len(topic_filter), subscriber, opts, subid, NULL, 0) == 1
        return self.add(topic_filter, len(topic_filter), subscriber, opts, subid, group, len(group)) == 1

    def unsubscribe(self, bytes topic_filter not None, Subscriber subscriber not None, bytes group=None) -> bool:
        """True when there was such a subscription."""
        if group is None:
            return self.remove(topic_filter, len(topic_filter), subscriber, NULL, 0) == 1
        return self.remove(topic_filter, len(topic_filter), subscriber, group, len(group)) == 1

    def unsubscribe_all(self, Subscriber subscriber not None) -> int:
        """Removes all subscriptions of a subscriber; how many there were."""
        cdef uint32_t count = 0
        if subscriber.home == <void*>self:
            while subscriber.subscriptions:
                self.free_row(subscriber.subscriptions)
                count += 1
        return count

    # --- looking at the table -----------------------------------------------------------------------------------------

    cdef tuple describe(self, uint32_t number):
        cdef Subscription* row = self.row(number)
        cdef Group* group
        cdef uint32_t node = row.owner
        name = None
        if node & SHARED:
            group = self.group(node & ~SHARED)
            node = group.node
            name = group.name[:group.name_len].decode()
        return self.filter_of(node).decode(), name, row.opts, row.subid

    def subscriptions(self, Subscriber subscriber not None) -> list:
        """`(filter, group or None, option byte, subscription identifier)` of each, in order of subscription."""
        cdef list rows = []
        cdef uint32_t number = subscriber.subscriptions if subscriber.home == <void*>self else NO_ROW
        while number:
            rows.append(self.describe(number))
            number = self.row(number).earlier
        rows.reverse()
        return rows

    def lookup(self, bytes topic_filter not None, Subscriber subscriber not None, bytes group=None):
        """The row of `subscriptions` for one filter, or None."""
        cdef const uint8_t* name = NULL
        cdef uint32_t owner, number
        if group is not None:
            name = group
        owner = self.find_owner(topic_filter, len(topic_filter), name, len(group) if group is not None else 0)
        number = self.find_row(subscriber, owner) if owner else NO_ROW
        return self.describe(number) if number else None

    def routes(self):
        """Each filter, once for its plain subscriptions and once for each shared group, in no order.

        The table may change while this walks it: what stays is seen once, what comes or goes may be missed."""
        cdef uint32_t number, i, times
        for number in range(ROOT + 1, pool_end(&self.nodes)):
            times = self.routes_at(number)
            if times:
                name = self.filter_of(number).decode()
                for i in range(times):
                    yield name

    cdef uint32_t routes_at(self, uint32_t number) noexcept:
        cdef uint32_t count = 0, group
        if pool_holds(&self.nodes, number) and self.node(number).parent:
            count = self.node(number).rows != NO_ROW
            group = self.node(number).groups
            while group:
                count += 1
                group = self.group(group).next
        return count

    def has_route(self, bytes topic_filter not None) -> int:
        """How many routes a filter has: one for its plain subscriptions, one for each shared group."""
        cdef uint32_t node = self.find(topic_filter, len(topic_filter))
        return self.routes_at(node) if node else 0

    @property
    def counts(self):
        return Counts(self.topic_count, self.subscriber_count, self.subscriber_count + self.shared_count,
                      self.shared_count)

    def memory(self) -> int:
        """Bytes held in records, hash tables and the cache; names and levels of more than 32 bytes are on top."""
        return (pool_bytes(&self.nodes) + pool_bytes(&self.rows) + pool_bytes(&self.groups)
                + table_bytes(&self.children) + table_bytes(&self.places) + table_bytes(&self.names)
                + self.arena.total)

    # --- matching -----------------------------------------------------------------------------------------------------

    cdef int note(self, uint32_t number) except -1:
        """Adds a node that matches to `found`, if it has subscriptions."""
        cdef Node* node = self.node(number)
        cdef void* grown
        if node.rows == NO_ROW and not node.groups:
            return 0
        if self.n_found == self.max_found:
            grown = realloc(self.found, max(self.max_found * 2, 16) * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError
            self.found = <uint32_t*>grown
            self.max_found = max(self.max_found * 2, 16)
        self.found[self.n_found] = number
        self.n_found += 1
        return 0

    cdef int step(self, uint32_t number, uint32_t at) except -1:
        """Leaves a branch for later."""
        cdef void* grown
        if self.n_steps == self.max_steps:
            grown = realloc(self.steps, max(self.max_steps * 2, 16) * sizeof(Step))
            if grown == NULL:
                raise MemoryError
            self.steps = <Step*>grown
            self.max_steps = max(self.max_steps * 2, 16)
        self.steps[self.n_steps].node = number
        self.steps[self.n_steps].at = at
        self.n_steps += 1
        return 0

    cdef int walk(self, const uint8_t* topic, uint32_t n) except -1:
        """Finds the nodes whose filters match. No recursion: a topic may have 65,535 levels."""
        self.n_found = 0
        self.n_steps = 0
        self.step(ROOT, 0)
        while self.n_steps:
            self.n_steps -= 1
            self.follow(self.steps[self.n_steps].node, self.steps[self.n_steps].at, topic, n)
        return 0

    cdef int follow(self, uint32_t number, uint32_t at, const uint8_t* topic, uint32_t n) except -1:
        """Walks down the named children from a node; the next level begins at `at`, above `n` when there is none."""
        cdef Node* node
        cdef uint32_t end
        cdef bint wild
        while number:
            node = self.node(number)
            if node.text_len > node.name_len:
                if self.rest_matches(node, at, topic, n):
                    self.note(number)
                return 0
            # A filter that begins with a wildcard matches no topic that begins with $ [MQTT-4.7.2-1]
            wild = number != ROOT or topic[0] != b"$"
            if node.hash and wild:
                self.note(node.hash)      # at the end of the topic too: "sport/#" matches "sport"
            if at > n:
                self.note(number)
                return 0
            end = <uint32_t>level_end(topic, at, n)
            if node.plus and wild:
                self.step(node.plus, end + 1)
            number = self.named_child(number, topic + at, end - at)
            at = end + 1
        return 0

    cdef bint rest_matches(self, Node* node, uint32_t at, const uint8_t* topic, uint32_t n) noexcept:
        """Whether the rest of the only filter below a node matches the rest of the topic."""
        cdef const uint8_t* rest = node_text(node) + node.name_len + 1
        cdef size_t rest_len = node.text_len - node.name_len - 1
        if at > n:
            return is_wildcard(rest, rest_len, b"#")
        return levels_match(rest, rest_len, topic + at, n - at)

    cdef Match* match(self, const uint8_t* topic, size_t n) except NULL:
        """Who gets a message on a valid topic name. Valid until the next change of the table or call of match."""
        cdef uint32_t hash = <uint32_t>hash_bytes(self.seed, 0, topic, n)
        cdef CacheSlot* slot
        if self.cache.generation != self.generation:
            self.forget()
        slot = self.cached(hash, topic, n)
        if slot.era == self.cache.era:
            return &slot.entry.match
        if self.cache.entries >= self.cache.max_entries or self.arena.total >= self.cache.max_bytes:
            self.forget()
            slot = self.cached(hash, topic, n)
        return self.fill(slot, hash, topic, n)

    cdef CacheSlot* cached(self, uint32_t hash, const uint8_t* topic, size_t n) noexcept:
        """The slot of a topic, or the empty one where it belongs."""
        cdef uint32_t at = hash & self.cache.mask
        cdef CacheSlot* slot = self.cache.slots + at
        while slot.era == self.cache.era:
            if slot.hash == hash and slot.entry.topic_len == n and memcmp(slot.entry.topic, topic, n) == 0:
                return slot
            at = (at + 1) & self.cache.mask
            slot = self.cache.slots + at
        return slot

    cdef void forget(self) noexcept:
        """Empties the cache. A slot is empty when it is of another era, so no slot has to be touched."""
        arena_empty(&self.arena)
        self.cache.entries = 0
        self.cache.generation = self.generation
        self.cache.era += 1
        if self.cache.era == 0:
            memset(self.cache.slots, 0, (<size_t>self.cache.mask + 1) * sizeof(CacheSlot))
            self.cache.era = 1

    cdef Match* fill(self, CacheSlot* slot, uint32_t hash, const uint8_t* topic, size_t n) except NULL:
        """Matches, and keeps the result in a slot."""
        cdef Cached* entry
        if n == 0 or n > 0xFFFF:
            raise ValueError("a topic name has 1 to 65,535 bytes")
        self.walk(topic, <uint32_t>n)
        entry = <Cached*>arena_take(&self.arena, sizeof(Cached) + n)
        if entry == NULL:
            raise MemoryError
        memcpy(entry.topic, topic, n)
        entry.topic_len = <uint32_t>n
        self.gather_plain(&entry.match)
        self.gather_groups(&entry.match)
        slot.entry = entry
        slot.hash = hash
        slot.era = self.cache.era
        self.cache.entries += 1
        return &entry.match

    cdef int gather_plain(self, Match* match) except -1:
        cdef uint32_t i, nodes_with_rows = 0
        cdef size_t total = 0
        for i in range(self.n_found):
            if self.node(self.found[i]).n_rows:
                nodes_with_rows += 1
                total += self.node(self.found[i]).n_rows
        match.plain = NULL
        match.n_plain = 0
        if total == 0:
            return 0
        match.plain = <Recipient*>arena_take(&self.arena, total * sizeof(Recipient))
        if match.plain == NULL:
            raise MemoryError
        for i in range(self.n_found):
            if nodes_with_rows == 1:
                self.copy_rows(match, self.node(self.found[i]).rows)
            else:
                self.merge_rows(match, self.node(self.found[i]).rows)
        return 0

    cdef void copy_rows(self, Match* match, uint32_t number) noexcept:
        """The rows of one filter: no subscriber is there twice."""
        cdef Subscription* row
        while number:
            row = self.row(number)
            recipient_set(match.plain + match.n_plain, row)
            match.n_plain += 1
            number = row.next

    cdef int merge_rows(self, Match* match, uint32_t number) except -1:
        """Adds the rows of a filter to those of others: one copy for each subscriber [MQTT-3.3.4-2]."""
        cdef Subscription* row
        cdef Subscriber subscriber
        while number:
            row = self.row(number)
            number = row.next
            subscriber = <Subscriber>row.subscriber
            if subscriber.slot < match.n_plain and match.plain[subscriber.slot].subscriber == row.subscriber:
                self.merge(match.plain + subscriber.slot, row)
            else:
                subscriber.slot = match.n_plain
                recipient_set(match.plain + match.n_plain, row)
                match.n_plain += 1
        return 0

    cdef int merge(self, Recipient* recipient, Subscription* row) except -1:
        """The highest QoS [MQTT-3.3.4-2] and all identifiers [MQTT-3.3.4-3]; No Local only if all say so, Retain As
        Published if any does. Retain Handling has no part in a match."""
        cdef uint8_t a = recipient.opts, b = row.opts
        cdef uint8_t qos = max(a & OPT_QOS, b & OPT_QOS)
        recipient.opts = qos | (a & b & OPT_NO_LOCAL) | ((a | b) & OPT_RETAIN_AS_PUBLISHED)
        if row.subid:
            self.merge_id(recipient, row)
        return 0

    cdef int merge_id(self, Recipient* recipient, Subscription* row) except -1:
        cdef uint16_t n = recipient.nids
        cdef uint32_t* ids
        if n == 0:
            recipient_set_ids(recipient, row)
            return 0
        if n == MAX_IDS:
            return 0
        if n & (n - 1) == 0:      # a power of two: full, and at 1 the subscription's own
            ids = <uint32_t*>arena_take(&self.arena, n * 2 * sizeof(uint32_t))
            if ids == NULL:
                raise MemoryError
            memcpy(ids, recipient.ids, n * sizeof(uint32_t))
            recipient.ids = ids
        recipient.ids[n] = row.subid
        recipient.nids = n + 1
        return 0

    cdef int gather_groups(self, Match* match) except -1:
        cdef uint32_t i, number, count = 0
        for i in range(self.n_found):
            number = self.node(self.found[i]).groups
            while number:
                count += 1
                number = self.group(number).next
        match.groups = NULL
        match.n_groups = 0
        if count == 0:
            return 0
        match.groups = <Group**>arena_take(&self.arena, count * sizeof(Group*))
        if match.groups == NULL:
            raise MemoryError
        for i in range(self.n_found):
            number = self.node(self.found[i]).groups
            while number:
                match.groups[match.n_groups] = self.group(number)
                match.n_groups += 1
                number = self.group(number).next
        return 0

    def recipients(self, bytes topic not None) -> list:
        """What `match` finds: `(subscriber, group or None, merged option byte, [identifiers])`, every member of a
        shared group included."""
        cdef Match* match = self.match(topic, len(topic))
        cdef Group* group
        cdef uint32_t i, j
        cdef list found = [recipient_row(match.plain + i, None) for i in range(match.n_plain)]
        for i in range(match.n_groups):
            group = match.groups[i]
            name = group.name[:group.name_len].decode()
            for j in range(group.n_members):
                found.append(recipient_row(group.members + j, name))
        return found

    def pick(self, bytes topic not None, uint64_t publisher=0, uint32_t attempt=0) -> list:
        """`(subscriber, group)` that `choose` gives for each shared group that matches."""
        cdef Match* match = self.match(topic, len(topic))
        cdef Recipient* chosen
        cdef list picked = []
        cdef uint32_t i
        for i in range(match.n_groups):
            chosen = self.choose(match.groups[i], publisher, attempt)
            if chosen != NULL:
                picked.append((<object>chosen.subscriber,
                               match.groups[i].name[:match.groups[i].name_len].decode()))
        return picked


cdef inline void recipient_set_ids(Recipient* recipient, Subscription* row) noexcept nogil:
    recipient.nids = row.subid != 0
    recipient.ids = &row.subid if row.subid else NULL


cdef inline void recipient_set(Recipient* recipient, Subscription* row) noexcept nogil:
    recipient.subscriber = row.subscriber
    recipient.opts = row.opts
    recipient_set_ids(recipient, row)


cdef tuple recipient_row(Recipient* recipient, group):
    cdef uint32_t i
    return (<object>recipient.subscriber, group, recipient.opts, [recipient.ids[i] for i in range(recipient.nids)])
