"""The subscription table: topic name in, recipients out.

A trie of filters, whose nodes have a list of rows (plain subscriptions) and a list of shared groups. Each row is also
on the list of its subscriber, and found by (subscriber, filter) through a hash table. The table has a reference of
each subscriber that has rows. A Match belongs to the cache and is valid until `generation` changes; it has each
subscriber once, with the options of all its filters that match.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from router_ext.memory.arena cimport Arena
from router_ext.routing.match_cache cimport Match, MatchCache
from router_ext.memory.flag cimport flag
from router_ext.memory.pool cimport Pool
from router_ext.routing.shared_groups cimport Group, Shares
from router_ext.routing.subscription cimport (
    OPT_NO_LOCAL, OPT_QOS, OPT_RETAIN_AS_PUBLISHED, OPT_RETAIN_HANDLING, Recipient, Subscription,
)
from router_ext.memory.hash_table cimport Table
from router_ext.routing.trie cimport Trie, Walk


cdef class User:
    """What the sessions of one user name use together, where zones limit that."""
    cdef object __weakref__
    cdef readonly uint32_t subscriptions
    cdef uint32_t published                     # messages since `published_since`
    cdef int64_t published_since                # ms


cdef class Subscriber:
    """Whoever subscribes; the base class of Session. Its subscriptions are kept by one Router at a time."""
    cdef uint32_t subscriptions                 # the newest of its list
    cdef readonly uint32_t subscription_count
    cdef uint32_t place                         # where it is in the match being made
    cdef flag gone                              # it gets nothing any more
    cdef void* home                             # the Router
    cdef User user                              # whose subscriptions these are, None: nobody counts

    cpdef int belong_to(self, User user) except -1


@cython.final
cdef class Router:
    cdef Trie trie                              # filter -> node
    cdef Pool rows                              # subscriptions
    cdef Table places                           # (subscriber, owner) -> Subscription
    cdef Shares shares
    cdef MatchCache cache
    cdef Walk walk
    cdef list leaving                           # who is gone, but for the records
    cdef uint64_t seed
    cdef readonly uint64_t generation           # bumped by every change
    cdef readonly uint32_t topic_count          # routes: one for a filter, one for a (filter, group)
    cdef readonly uint32_t subscriber_count     # rows that are not shared
    cdef readonly uint32_t shared_count         # rows that are
    cdef uint32_t most_topics                   # the highest that they have been,
    cdef uint32_t most_subscribers
    cdef uint32_t most_shared
    cdef uint32_t most_rows                     # and all rows together

    # The hot path: what a PUBLISH calls.
    cdef Match* match(self, const uint8_t* topic, size_t n) except NULL
    cdef Match* known_match(self, const uint8_t* topic, size_t n) noexcept
    cdef Match* find_match(self, const uint8_t* topic, size_t n, int64_t most, int64_t* looks) except? NULL
    cdef int remember(self, const uint8_t* topic, size_t n, const Match* found) except -1
    cdef Group* group(self, const uint8_t* topic_filter, size_t n, const uint8_t* name, size_t n_name) noexcept
    cdef Recipient* choose(self, Group* group, uint64_t publisher, uint32_t attempt) noexcept

    # Subscribing; `group` is NULL when it is not shared.
    cdef int add(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber, uint8_t opts, uint32_t subid,
                 const uint8_t* group, size_t n_group) except -1
    cdef int remove(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber,
                    const uint8_t* group, size_t n_group) except -1

    cdef void release_subscribers(self) noexcept
    cdef void raise_marks(self) noexcept
    cpdef bint clear_up(self) except? True
    cdef void free_shared(self, Subscriber subscriber) noexcept
    cdef uint32_t find_row(self, Subscriber subscriber, uint32_t owner) noexcept
    cdef uint32_t place_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                              size_t n_group) noexcept
    cdef uint32_t find_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                             size_t n_group) noexcept
    cdef void drop_owner(self, uint32_t owner) noexcept
    cdef bint attach(self, uint32_t number) noexcept
    cdef void attach_plain(self, uint32_t number) noexcept
    cdef void detach(self, uint32_t number) noexcept
    cdef void detach_plain(self, uint32_t number) noexcept
    cdef uint32_t new_row(self, Subscriber subscriber, uint32_t owner, uint8_t opts, uint32_t subid) noexcept
    cdef void free_row(self, uint32_t number) noexcept
    cdef void replace(self, uint32_t number, uint8_t opts, uint32_t subid) noexcept
    cdef tuple describe(self, uint32_t number)
    cdef uint32_t routes_at(self, uint32_t number) noexcept
    cdef bint gather_plain(self, Match* match) noexcept
    cdef void copy_rows(self, Match* match, uint32_t number) noexcept
    cdef bint merge_rows(self, Match* match, uint32_t number) noexcept
    cdef bint merge_row(self, Recipient* recipient, Subscription* row, Arena* arena) noexcept
    cdef bint gather_groups(self, Match* match) noexcept
