"""The subscription table: topic name in, recipients out.

A trie of filter levels whose nodes lie in slabs and point at one another by number. `+` and `#` are fields of a node;
all other children of all nodes share one hash table keyed by (parent, level). A node that leads to one filter only
keeps the rest of that filter as text, so a filter of many levels costs one node until another one needs its path.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from router_ext.arena cimport Arena
from router_ext.pool cimport Pool
from router_ext.table cimport Table

cdef enum:
    OPT_QOS = 0x03                 # the SUBSCRIBE option byte (MQTT 5.0, section 3.8.3.1)
    OPT_NO_LOCAL = 0x04
    OPT_RETAIN_AS_PUBLISHED = 0x08
    OPT_RETAIN_HANDLING = 0x30

cdef enum Strategy:                # how a shared group picks its member
    PICK_RANDOM
    PICK_ROUND_ROBIN
    PICK_STICKY
    PICK_HASH

cdef struct Recipient:
    PyObject* subscriber           # borrowed; a Subscription owns it
    uint32_t* ids                  # subscription identifiers, `nids` of them; NULL when there are none
    uint16_t nids
    uint8_t opts                   # the SUBSCRIBE option byte, merged

cdef struct Group:                 # the members of one $share/<group>/<filter>
    uint32_t next                  # the next group of the filter
    uint32_t prev
    uint32_t node                  # 0: a free record
    uint32_t n_members
    uint32_t capacity
    uint32_t first                 # where the walk of the last choice began
    uint32_t name_len
    uint8_t* name
    Recipient* members
    uint32_t* rows                 # the Subscription of each member
    uint32_t* sticky               # publisher bucket -> Subscription; NULL until the strategy needs it

cdef struct Subscription:
    uint32_t later                 # neighbours in the subscriber's list
    uint32_t earlier
    PyObject* subscriber           # owned; NULL: a free record
    uint32_t owner                 # node, or group with SHARED set
    uint32_t subid                 # subscription identifier, 0 none
    uint32_t next                  # neighbours in the node's list; shared: `next` is the place in the group
    uint32_t prev
    uint8_t opts

cdef struct Node:
    uint32_t plus                  # the child for "+"
    uint32_t hash                  # the child for "#"
    uint32_t parent                # 0: the root, or a free record
    uint32_t children              # all of them, plus and hash included
    uint32_t rows                  # first Subscription
    uint32_t n_rows
    uint32_t groups                # first Group
    uint16_t name_len              # the level
    uint16_t text_len              # the level and the rest of the only filter below it, if any
    uint8_t text[32]               # the text, or, when it is longer, a pointer to it

cdef struct Match:
    Recipient* plain               # one per subscriber: overlapping filters merged
    Group** groups                 # deliver to one member each
    uint32_t n_plain
    uint32_t n_groups

cdef struct Cached:
    Match match
    uint32_t topic_len
    uint8_t topic[1]

cdef struct CacheSlot:
    Cached* entry
    uint32_t hash
    uint32_t era                   # empty unless it is the cache's

cdef struct Cache:
    CacheSlot* slots
    uint32_t mask
    uint32_t era
    uint32_t entries
    uint32_t max_entries
    size_t max_bytes
    uint64_t generation            # of the table that the entries were found in

cdef struct Step:                  # a branch of the trie still to be walked
    uint32_t node
    uint32_t at

cdef class Subscriber:
    """Whoever subscribes; the base class of Session. Its subscriptions are kept by one Router at a time."""
    cdef uint32_t subscriptions    # the newest of its list
    cdef readonly uint32_t subscription_count
    cdef uint32_t slot             # its place in the match being made
    cdef void* home                # the Router

@cython.final
cdef class Router:
    cdef Pool nodes
    cdef Pool rows
    cdef Pool groups
    cdef Table children            # (parent, level) -> Node
    cdef Table places              # (subscriber, owner) -> Subscription
    cdef Table names               # (node, group name) -> Group
    cdef Arena arena
    cdef Cache cache
    cdef Step* steps
    cdef uint32_t* found
    cdef uint32_t n_steps, max_steps, n_found, max_found
    cdef uint64_t seed, random_state
    cdef Strategy _strategy
    cdef readonly uint64_t generation           # bumped by every change
    cdef readonly uint32_t topic_count          # routes: one for a filter, one for a (filter, group)
    cdef readonly uint32_t subscriber_count     # rows that are not shared
    cdef readonly uint32_t shared_count         # rows that are

    cdef void release_subscribers(self) noexcept
    cdef void release_texts(self) noexcept
    cdef Node* node(self, uint32_t number) noexcept
    cdef Subscription* row(self, uint32_t number) noexcept
    cdef Group* group(self, uint32_t number) noexcept
    cdef uint32_t hash_level(self, uint32_t parent, const uint8_t* level, size_t n) noexcept
    cdef uint32_t named_child(self, uint32_t parent, const uint8_t* level, size_t n) noexcept
    cdef uint32_t child(self, uint32_t parent, const uint8_t* level, size_t n) noexcept
    cdef bint link(self, uint32_t number) noexcept
    cdef void unlink(self, uint32_t number) noexcept
    cdef uint32_t new_node(self, uint32_t parent, const uint8_t* text, size_t n, size_t name_len) noexcept
    cdef void free_node(self, uint32_t number) noexcept
    cdef uint32_t split(self, uint32_t number) noexcept
    cdef uint32_t place(self, const uint8_t* topic_filter, size_t n) noexcept
    cdef uint32_t find(self, const uint8_t* topic_filter, size_t n) noexcept
    cdef void prune(self, uint32_t number) noexcept
    cdef bytes filter_of(self, uint32_t number)
    cdef uint32_t hash_group(self, uint32_t node, const uint8_t* name, size_t n) noexcept
    cdef uint32_t find_group(self, uint32_t node, const uint8_t* name, size_t n) noexcept
    cdef uint32_t place_group(self, uint32_t node_number, const uint8_t* name, size_t n) noexcept
    cdef void free_members(self, Group* group) noexcept
    cdef void free_group(self, uint32_t number) noexcept
    cdef bint resize_group(self, Group* group, uint32_t capacity) noexcept
    cdef void set_member(self, Group* group, uint32_t place, uint32_t number) noexcept
    cdef bint join_group(self, Group* group, uint32_t number) noexcept
    cdef void leave_group(self, Group* group, uint32_t number) noexcept
    cdef uint64_t random(self) noexcept
    cdef uint32_t sticky_place(self, Group* group, uint64_t publisher) noexcept
    cdef uint32_t first_place(self, Group* group, uint64_t publisher) noexcept
    cdef Recipient* choose(self, Group* group, uint64_t publisher, uint32_t attempt) noexcept
    cdef uint32_t hash_place(self, PyObject* subscriber, uint32_t owner) noexcept
    cdef uint32_t find_row(self, Subscriber subscriber, uint32_t owner) noexcept
    cdef uint32_t place_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group, size_t n_group) noexcept
    cdef uint32_t find_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group, size_t n_group) noexcept
    cdef void drop_owner(self, uint32_t owner) noexcept
    cdef bint attach(self, uint32_t number) noexcept
    cdef void detach(self, uint32_t number) noexcept
    cdef uint32_t new_row(self, Subscriber subscriber, uint32_t owner, uint8_t opts, uint32_t subid) noexcept
    cdef void free_row(self, uint32_t number) noexcept
    cdef int add(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber, uint8_t opts, uint32_t subid, const uint8_t* group, size_t n_group) except -1
    cdef int remove(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber, const uint8_t* group, size_t n_group) except -1
    cdef tuple describe(self, uint32_t number)
    cdef uint32_t routes_at(self, uint32_t number) noexcept
    cdef int note(self, uint32_t number) except -1
    cdef int step(self, uint32_t number, uint32_t at) except -1
    cdef int walk(self, const uint8_t* topic, uint32_t n) except -1
    cdef int follow(self, uint32_t number, uint32_t at, const uint8_t* topic, uint32_t n) except -1
    cdef bint rest_matches(self, Node* node, uint32_t at, const uint8_t* topic, uint32_t n) noexcept
    cdef Match* match(self, const uint8_t* topic, size_t n) except NULL
    cdef CacheSlot* cached(self, uint32_t hash, const uint8_t* topic, size_t n) noexcept
    cdef void forget(self) noexcept
    cdef Match* fill(self, CacheSlot* slot, uint32_t hash, const uint8_t* topic, size_t n) except NULL
    cdef int gather_plain(self, Match* match) except -1
    cdef void copy_rows(self, Match* match, uint32_t number) noexcept
    cdef int merge_rows(self, Match* match, uint32_t number) except -1
    cdef int merge(self, Recipient* recipient, Subscription* row) except -1
    cdef int merge_id(self, Recipient* recipient, Subscription* row) except -1
    cdef int gather_groups(self, Match* match) except -1
