"""The subscription table (MQTT 5.0 and 3.1.1, sections 4.7 and 4.8).

A subscription belongs to an owner: a node of the trie (the filter), or a shared group of that node. It is in three
places: the list of its subscriber, the list of its node (or the array of its group), and `places`, which finds it
from (subscriber, owner) in one step however many there are on either side.
"""

import os
from typing import NamedTuple

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from router_ext.memory.arena cimport Arena, arena_take
from router_ext.routing.level cimport Level, children_of, level_of
from router_ext.routing.match_cache cimport cache_forget, cache_get, cache_new, cache_set_up, cache_tear_down
from router_ext.memory.pool cimport pool_bytes, pool_end, pool_give, pool_holds, pool_set_up, pool_take, pool_tear_down
from router_ext.routing.shared_groups cimport (
    Strategy, share_choose, share_find, share_free, share_group, share_join, share_leave, share_place,
    share_set_member, share_set_up, share_tear_down,
)
from router_ext.routing.subscription cimport NO_ROW, SHARED, recipient_set, recipient_set_ids, row_at
from router_ext.memory.hash_table cimport (
    Part, hash_pair, table_bytes, table_drop, table_first, table_hash_is, table_next, table_number, table_part,
    table_put, table_set_up, table_tear_down,
)
from router_ext.routing.trie cimport (
    ROOT, Node, trie_bytes, trie_find, trie_has_below, trie_holds, trie_match, trie_node, trie_path, trie_place,
    trie_prune, trie_set_up, trie_tear_down, walk_tear_down,
)

cdef uint32_t MAX_IDS = 0xFFFF
cdef int64_t EVERYTHING = 1LL << 62   # looks
cdef uint32_t AT_ONCE = 2000   # subscriptions removed, in half a millisecond

STRATEGIES = ("random", "round_robin", "sticky", "hash")      # in the order of Strategy


class Counts(NamedTuple):
    topics: int            # routes: one for each filter, one more for each shared group of a filter
    subscribers: int       # subscriptions that are not shared
    subscriptions: int     # all
    shared: int


cdef class User:
    pass


cdef class Subscriber:
    cpdef int belong_to(self, User user) except -1:
        """Its subscriptions count for this user from now on, or for nobody."""
        if self.user is not None:
            self.user.subscriptions -= self.subscription_count
        self.user = user
        if user is not None:
            user.subscriptions += self.subscription_count
        return 0


cdef inline uint32_t hash_place(uint64_t seed, PyObject* subscriber, uint32_t owner) noexcept nogil:
    return <uint32_t>hash_pair(seed, <uint64_t>subscriber, owner)


@cython.final
cdef class Router:

    def __cinit__(self, str strategy="random", *, uint32_t cache_topics=65536, size_t cache_bytes=16 << 20):
        """`strategy` picks the member of a shared group; results are remembered for at most `cache_topics` topics in
        at most `cache_bytes`, and one result."""
        self.seed = int.from_bytes(os.urandom(8), "little")
        pool_set_up(&self.rows, sizeof(Subscription))
        if not (trie_set_up(&self.trie, self.seed) and share_set_up(&self.shares, self.seed)
                and table_set_up(&self.places) and cache_set_up(&self.cache, self.seed, cache_topics, cache_bytes)):
            raise MemoryError
        self.strategy = strategy
        self.leaving = []

    def __dealloc__(self):
        self.release_subscribers()
        cache_tear_down(&self.cache)
        walk_tear_down(&self.walk)
        table_tear_down(&self.places)
        share_tear_down(&self.shares)
        pool_tear_down(&self.rows)
        trie_tear_down(&self.trie)

    cdef void release_subscribers(self) noexcept:
        cdef uint32_t i
        cdef Subscriber subscriber
        for i in range(pool_end(&self.rows)):
            if pool_holds(&self.rows, i) and row_at(&self.rows, i).subscriber != NULL:
                subscriber = <Subscriber>row_at(&self.rows, i).subscriber
                subscriber.subscriptions = NO_ROW
                subscriber.subscription_count = 0
                subscriber.home = NULL
                Py_DECREF(subscriber)

    # --- matching --------------------------------------------------------------------------------------------------

    cdef Match* match(self, const uint8_t* topic, size_t n) except NULL:
        """Who gets a message on a valid topic name. Valid until the next change of the table or call of match."""
        cdef Match* known = self.known_match(topic, n)
        cdef int64_t looks = EVERYTHING
        return known if known != NULL else self.find_match(topic, n, EVERYTHING, &looks)

    cdef Match* known_match(self, const uint8_t* topic, size_t n) noexcept:
        """What `match` finds, if it has found that before; else NULL."""
        return cache_get(&self.cache, self.generation, topic, n)

    cdef Match* find_match(self, const uint8_t* topic, size_t n, int64_t most, int64_t* looks) except? NULL:
        """What `match` finds; NULL when that takes more than `most` looks. What it cost is taken from `looks`."""
        cdef Match* match = NULL
        cdef bint found
        if n == 0 or n > 0xFFFF:
            raise ValueError("a topic name has 1 to 65,535 bytes")
        found = trie_match(&self.trie, topic, <uint32_t>n, most, &self.walk)
        looks[0] -= most - self.walk.looks
        if found and self.walk.cut:
            return NULL
        if found:
            match = cache_new(&self.cache, topic, n)
        if match == NULL or not self.gather_plain(match) or not self.gather_groups(match):
            cache_forget(&self.cache, self.generation)
            raise MemoryError
        return match

    cdef int remember(self, const uint8_t* topic, size_t n, const Match* found) except -1:
        """Keeps what was found elsewhere in the present generation."""
        cdef Arena* arena = &self.cache.arena
        cdef Match* match = cache_new(&self.cache, topic, n)
        cdef uint32_t i
        if match != NULL:
            match.n_ids = found.n_ids
            match.n_plain = found.n_plain
            match.n_groups = found.n_groups
            match.plain = <Recipient*>arena_copy(arena, found.plain, found.n_plain * sizeof(Recipient))
            match.groups = <Group**>arena_copy(arena, found.groups, found.n_groups * sizeof(Group*))
        if match == NULL or match.plain == NULL or match.groups == NULL:
            cache_forget(&self.cache, self.generation)
            raise MemoryError
        for i in range(match.n_plain):
            if match.plain[i].nids == 0:
                continue
            match.plain[i].ids = <uint32_t*>arena_copy(arena, match.plain[i].ids,
                                                       match.plain[i].nids * sizeof(uint32_t))
            if match.plain[i].ids == NULL:
                cache_forget(&self.cache, self.generation)
                raise MemoryError
        return 0

    cdef bint gather_plain(self, Match* match) noexcept:
        """Fills in the recipients of the nodes found; False when memory is out."""
        cdef Node* node
        cdef uint32_t i, filters = 0
        cdef size_t total = 0
        for i in range(self.walk.n_found):
            node = trie_node(&self.trie, self.walk.found[i])
            filters += node.count != 0
            total += node.count
        if total == 0:
            return True
        match.plain = <Recipient*>arena_take(&self.cache.arena, total * sizeof(Recipient))
        if match.plain == NULL:
            return False
        for i in range(self.walk.n_found):
            node = trie_node(&self.trie, self.walk.found[i])
            if filters == 1:
                self.copy_rows(match, node.head)
            elif not self.merge_rows(match, node.head):
                return False
        return True

    cdef void copy_rows(self, Match* match, uint32_t number) noexcept:
        """The rows of the only filter that matches: no subscriber is there twice."""
        cdef Subscription* row
        while number:
            row = row_at(&self.rows, number)
            number = row.next
            if (<Subscriber>row.subscriber).gone:
                continue
            recipient_set(match.plain + match.n_plain, row)
            match.n_plain += 1
            match.n_ids += row.subid != 0

    cdef bint merge_rows(self, Match* match, uint32_t number) noexcept:
        """Adds the rows of one filter of several: one copy for each subscriber [MQTT-3.3.4-2]."""
        cdef Subscription* row
        cdef Subscriber subscriber
        while number:
            row = row_at(&self.rows, number)
            number = row.next
            subscriber = <Subscriber>row.subscriber
            if subscriber.gone:
                continue
            match.n_ids += row.subid != 0
            if subscriber.place < match.n_plain and match.plain[subscriber.place].subscriber == row.subscriber:
                if not self.merge_row(match.plain + subscriber.place, row, &self.cache.arena):
                    return False
                continue
            subscriber.place = match.n_plain
            recipient_set(match.plain + match.n_plain, row)
            match.n_plain += 1
        return True

    cdef bint merge_row(self, Recipient* recipient, Subscription* row, Arena* arena) noexcept:
        """The highest QoS [MQTT-3.3.4-2] and all identifiers [MQTT-3.3.4-3]; No Local if both say so, Retain As
        Published if either does. Retain Handling has no part in a match. False when memory is out."""
        cdef uint8_t a = recipient.opts, b = row.opts
        cdef uint32_t n = recipient.nids
        cdef uint32_t* ids
        recipient.opts = (max(a & OPT_QOS, b & OPT_QOS) | (a & b & OPT_NO_LOCAL)
                          | ((a | b) & OPT_RETAIN_AS_PUBLISHED))
        if row.subid == 0 or n == MAX_IDS:
            return True
        if n == 0:
            recipient_set_ids(recipient, row)
            return True
        if n & (n - 1) == 0:      # a power of two: the array is full; at 1 it is the subscription's own
            ids = <uint32_t*>arena_take(arena, n * 2 * sizeof(uint32_t))
            if ids == NULL:
                return False
            memcpy(ids, recipient.ids, n * sizeof(uint32_t))
            recipient.ids = ids
        recipient.ids[n] = row.subid
        recipient.nids += 1
        return True

    cdef bint gather_groups(self, Match* match) noexcept:
        """Fills in the shared groups of the nodes found; False when memory is out."""
        cdef uint32_t i, number, total = 0
        for i in range(self.walk.n_found):
            number = trie_node(&self.trie, self.walk.found[i]).groups
            while number:
                total += 1
                number = share_group(&self.shares, number).next
        if total == 0:
            return True
        match.groups = <Group**>arena_take(&self.cache.arena, total * sizeof(Group*))
        if match.groups == NULL:
            return False
        for i in range(self.walk.n_found):
            number = trie_node(&self.trie, self.walk.found[i]).groups
            while number:
                match.groups[match.n_groups] = share_group(&self.shares, number)
                match.n_groups += 1
                number = share_group(&self.shares, number).next
        return True

    cdef Group* group(self, const uint8_t* topic_filter, size_t n, const uint8_t* name, size_t n_name) noexcept:
        """A shared group by filter and name, NULL when it has no members. Valid until the table changes."""
        cdef uint32_t owner = self.find_owner(topic_filter, n, name, n_name)
        return share_group(&self.shares, owner & ~SHARED) if owner else NULL

    cdef Recipient* choose(self, Group* group, uint64_t publisher, uint32_t attempt) noexcept:
        """The member of a group of a match that gets a message; see `share_choose`."""
        return share_choose(&self.shares, group, &self.rows, publisher, attempt)

    @property
    def strategy(self):
        """How a shared group picks its member: random, round_robin, sticky or hash."""
        return STRATEGIES[<int>self.shares.strategy]

    @strategy.setter
    def strategy(self, str name not None):
        if name not in STRATEGIES:
            raise ValueError(f"no such strategy: {name!r}")
        self.shares.strategy = <Strategy><int>STRATEGIES.index(name)

    # --- subscribing -----------------------------------------------------------------------------------------------

    def subscribe(self, bytes topic_filter not None, Subscriber subscriber not None, uint8_t opts,
                  uint32_t subid=0, bytes group=None) -> bool:
        """Subscribes to a valid filter; True when it is new, False when it replaces the same one [MQTT-3.8.4-3].

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
        while subscriber.home == <void*>self:
            self.free_row(subscriber.subscriptions)
            count += 1
        return count

    def leave(self, Subscriber subscriber not None):
        """It gets nothing from now on, and will not come back. Where it has many subscriptions, they are removed piece by
        piece, by `clear_up`."""
        subscriber.gone = True
        self.generation += 1
        if subscriber.subscription_count <= AT_ONCE:
            self.unsubscribe_all(subscriber)
        else:
            self.free_shared(subscriber)
            self.leaving.append(subscriber)

    cdef void free_shared(self, Subscriber subscriber) noexcept:
        cdef uint32_t number = subscriber.subscriptions if self.shared_count else NO_ROW, earlier
        while number:
            earlier = row_at(&self.rows, number).earlier
            if row_at(&self.rows, number).owner & SHARED:
                self.free_row(number)
            number = earlier

    cpdef bint clear_up(self) except? True:
        """A piece of what those have left who are gone; True while there is more."""
        cdef uint32_t some = AT_ONCE
        cdef Subscriber subscriber
        while self.leaving and some:
            subscriber = self.leaving[0]
            while subscriber.home != NULL and some:
                self.free_row(subscriber.subscriptions)
                some -= 1
            if subscriber.home == NULL:
                del self.leaving[0]
        return len(self.leaving) > 0

    cdef int add(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber, uint8_t opts, uint32_t subid,
                 const uint8_t* group, size_t n_group) except -1:
        """`subscribe` for a filter known to be valid: 1 when it is new, 0 when it replaces one."""
        cdef uint32_t owner, number
        if subscriber.home != NULL and subscriber.home != <void*>self:
            raise ValueError("the subscriber has subscriptions in another router")
        owner = self.place_owner(topic_filter, n, group, n_group)
        if owner == 0:
            raise MemoryError
        self.generation += 1
        number = self.find_row(subscriber, owner)
        if number:
            self.replace(number, opts, subid)
            return 0
        if self.new_row(subscriber, owner, opts, subid) == NO_ROW:
            self.drop_owner(owner)
            raise MemoryError
        self.raise_marks()
        return 1

    cdef void raise_marks(self) noexcept:
        self.most_topics = max(self.most_topics, self.topic_count)
        self.most_subscribers = max(self.most_subscribers, self.subscriber_count)
        self.most_shared = max(self.most_shared, self.shared_count)
        self.most_rows = max(self.most_rows, self.subscriber_count + self.shared_count)

    cdef int remove(self, const uint8_t* topic_filter, size_t n, Subscriber subscriber,
                    const uint8_t* group, size_t n_group) except -1:
        """`unsubscribe`: 1 when there was such a subscription, 0 when not."""
        cdef uint32_t owner = self.find_owner(topic_filter, n, group, n_group)
        cdef uint32_t number = self.find_row(subscriber, owner) if owner else NO_ROW
        if number:
            self.free_row(number)
        return number != NO_ROW

    # --- owners ----------------------------------------------------------------------------------------------------

    cdef uint32_t place_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                              size_t n_group) noexcept:
        """The owner of a subscription, made when there is none; 0 when memory is out."""
        cdef uint32_t node = trie_place(&self.trie, topic_filter, n), number
        if node == 0 or group == NULL:
            return node
        number = share_find(&self.shares, node, group, n_group)
        if number == 0:
            number = share_place(&self.shares, node, group, n_group, &trie_node(&self.trie, node).groups)
            if number == 0:
                trie_prune(&self.trie, node)
                return 0
            self.topic_count += 1
        return number | SHARED

    cdef uint32_t find_owner(self, const uint8_t* topic_filter, size_t n, const uint8_t* group,
                             size_t n_group) noexcept:
        cdef uint32_t node = trie_find(&self.trie, topic_filter, n), number
        if node == 0 or group == NULL:
            return node
        number = share_find(&self.shares, node, group, n_group)
        return number | SHARED if number else 0

    cdef void drop_owner(self, uint32_t owner) noexcept:
        """Frees an owner that has no subscriptions left, and its node with it."""
        cdef uint32_t node = owner
        cdef Group* group
        if owner & SHARED:
            group = share_group(&self.shares, owner & ~SHARED)
            node = group.node
            if group.n_members == 0:
                share_free(&self.shares, owner & ~SHARED, &trie_node(&self.trie, node).groups)
                self.topic_count -= 1
        trie_prune(&self.trie, node)

    # --- rows ------------------------------------------------------------------------------------------------------

    cdef uint32_t find_row(self, Subscriber subscriber, uint32_t owner) noexcept:
        cdef PyObject* key = <PyObject*>subscriber
        cdef uint32_t hash = hash_place(self.seed, key, owner)
        cdef Part* part = table_part(&self.places, hash)
        cdef uint32_t at = table_first(part, hash)
        cdef uint32_t number = table_number(part, at)
        cdef Subscription* row
        while number:
            if table_hash_is(part, at, hash):
                row = row_at(&self.rows, number)
                if row.subscriber == key and row.owner == owner:
                    return number
            at = table_next(part, at)
            number = table_number(part, at)
        return NO_ROW

    cdef uint32_t new_row(self, Subscriber subscriber, uint32_t owner, uint8_t opts, uint32_t subid) noexcept:
        """A subscription at its owner and its subscriber; 0 when memory is out."""
        cdef uint32_t number = pool_take(&self.rows)
        cdef Subscription* row
        if number == 0:
            return NO_ROW
        row = row_at(&self.rows, number)
        memset(row, 0, sizeof(Subscription))
        row.owner = owner
        row.opts = opts
        row.subid = subid
        row.subscriber = <PyObject*>subscriber
        if not table_put(&self.places, hash_place(self.seed, row.subscriber, owner), number):
            row.subscriber = NULL
            pool_give(&self.rows, number)
            return NO_ROW
        if not self.attach(number):
            table_drop(&self.places, hash_place(self.seed, row.subscriber, owner), number)
            row.subscriber = NULL
            pool_give(&self.rows, number)
            return NO_ROW
        row.earlier = subscriber.subscriptions
        if row.earlier:
            row_at(&self.rows, row.earlier).later = number
        subscriber.subscriptions = number
        subscriber.subscription_count += 1
        if subscriber.user is not None:
            subscriber.user.subscriptions += 1
        subscriber.home = <void*>self
        Py_INCREF(subscriber)
        return number

    cdef void free_row(self, uint32_t number) noexcept:
        cdef Subscription* row = row_at(&self.rows, number)
        cdef Subscriber subscriber = <Subscriber>row.subscriber
        cdef uint32_t owner = row.owner
        if row.later:
            row_at(&self.rows, row.later).earlier = row.earlier
        else:
            subscriber.subscriptions = row.earlier
        if row.earlier:
            row_at(&self.rows, row.earlier).later = row.later
        subscriber.subscription_count -= 1
        if subscriber.user is not None:
            subscriber.user.subscriptions -= 1
        if subscriber.subscription_count == 0:
            subscriber.home = NULL
        self.detach(number)
        table_drop(&self.places, hash_place(self.seed, row.subscriber, owner), number)
        row.subscriber = NULL
        pool_give(&self.rows, number)
        self.drop_owner(owner)
        self.generation += 1
        Py_DECREF(subscriber)

    cdef void replace(self, uint32_t number, uint8_t opts, uint32_t subid) noexcept:
        cdef Subscription* row = row_at(&self.rows, number)
        row.opts = opts
        row.subid = subid
        if row.owner & SHARED:
            share_set_member(share_group(&self.shares, row.owner & ~SHARED), &self.rows, row.next, number)

    cdef bint attach(self, uint32_t number) noexcept:
        """Puts a subscription at its owner; False when memory is out."""
        cdef Subscription* row = row_at(&self.rows, number)
        if not row.owner & SHARED:
            self.attach_plain(number)
        elif share_join(share_group(&self.shares, row.owner & ~SHARED), &self.rows, number):
            self.shared_count += 1
        else:
            return False
        return True

    cdef void attach_plain(self, uint32_t number) noexcept:
        cdef Subscription* row = row_at(&self.rows, number)
        cdef Node* node = trie_node(&self.trie, row.owner)
        row.next = node.head
        if row.next:
            row_at(&self.rows, row.next).prev = number
        else:
            self.topic_count += 1
        node.head = number
        node.count += 1
        self.subscriber_count += 1

    cdef void detach(self, uint32_t number) noexcept:
        cdef Subscription* row = row_at(&self.rows, number)
        if row.owner & SHARED:
            share_leave(share_group(&self.shares, row.owner & ~SHARED), &self.rows, number)
            self.shared_count -= 1
        else:
            self.detach_plain(number)

    cdef void detach_plain(self, uint32_t number) noexcept:
        cdef Subscription* row = row_at(&self.rows, number)
        cdef Node* node = trie_node(&self.trie, row.owner)
        if row.prev:
            row_at(&self.rows, row.prev).next = row.next
        else:
            node.head = row.next
        if row.next:
            row_at(&self.rows, row.next).prev = row.prev
        node.count -= 1
        if node.count == 0:
            self.topic_count -= 1
        self.subscriber_count -= 1

    # --- looking at the table --------------------------------------------------------------------------------------

    cdef tuple describe(self, uint32_t number):
        cdef Subscription* row = row_at(&self.rows, number)
        cdef Group* group
        cdef uint32_t node = row.owner
        name = None
        if node & SHARED:
            group = share_group(&self.shares, node & ~SHARED)
            node = group.node
            name = group.name[:group.name_len].decode()
        return trie_path(&self.trie, node).decode(), name, row.opts, row.subid

    def subscriptions(self, Subscriber subscriber not None) -> list:
        """`(filter, group or None, option byte, subscription identifier)` of each, in order of subscription."""
        cdef list rows = []
        cdef uint32_t number = subscriber.subscriptions if subscriber.home == <void*>self else NO_ROW
        while number:
            rows.append(self.describe(number))
            number = row_at(&self.rows, number).earlier
        rows.reverse()
        return rows

    def shared(self, Subscriber subscriber not None) -> list:
        """`(filter, group)` of each that is shared, as bytes."""
        cdef list rows = []
        cdef uint32_t number = subscriber.subscriptions if subscriber.home == <void*>self and self.shared_count else NO_ROW
        cdef Group* group
        while number:
            if row_at(&self.rows, number).owner & SHARED:
                group = share_group(&self.shares, row_at(&self.rows, number).owner & ~SHARED)
                rows.append((trie_path(&self.trie, group.node), group.name[:group.name_len]))
            number = row_at(&self.rows, number).earlier
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
        cdef uint32_t number, times, _
        for number in range(ROOT + 1, pool_end(&self.trie.nodes)):
            times = self.routes_at(number) if trie_holds(&self.trie, number) else 0
            if times:
                name = trie_path(&self.trie, number).decode()
                for _ in range(times):
                    yield name

    def has_route(self, bytes topic_filter not None) -> int:
        """How many routes a filter has: one for its plain subscriptions, one for each shared group."""
        cdef uint32_t node = trie_find(&self.trie, topic_filter, len(topic_filter))
        return self.routes_at(node) if node else 0

    def has_below(self, bytes level not None) -> bool:
        """Whether any filter begins with this level, or is it; a wildcard in its place does not count."""
        return trie_has_below(&self.trie, level, len(level))

    def level(self, bytes path) -> Level:
        """The names below a path of levels; below None those of the first level."""
        return level_of(self, &self.trie, path)

    def children(self, bytes path not None, uint32_t most) -> int:
        """How many names there are below a path, no more than `most` of them counted."""
        return children_of(&self.trie, path, most)

    def subscriptions_to(self, bytes topic_filter not None) -> int:
        """How many subscriptions there are to a filter, those of shared groups included."""
        cdef uint32_t node = trie_find(&self.trie, topic_filter, len(topic_filter))
        cdef uint32_t count, group
        if node == 0:
            return 0
        count = trie_node(&self.trie, node).count
        group = trie_node(&self.trie, node).groups
        while group:
            count += share_group(&self.shares, group).n_members
            group = share_group(&self.shares, group).next
        return count

    cdef uint32_t routes_at(self, uint32_t number) noexcept:
        cdef Node* node = trie_node(&self.trie, number)
        cdef uint32_t count = node.head != NO_ROW
        cdef uint32_t group = node.groups
        while group:
            count += 1
            group = share_group(&self.shares, group).next
        return count

    @property
    def counts(self):
        return Counts(self.topic_count, self.subscriber_count, self.subscriber_count + self.shared_count,
                      self.shared_count)

    @property
    def most(self):
        """The highest that each of `counts` has been."""
        return Counts(self.most_topics, self.most_subscribers, self.most_rows, self.most_shared)

    def memory(self) -> int:
        """Bytes held, but for the members of shared groups and for levels of more than 256 bytes."""
        return (trie_bytes(&self.trie) + pool_bytes(&self.rows) + table_bytes(&self.places)
                + pool_bytes(&self.shares.groups) + table_bytes(&self.shares.names) + self.cache.arena.total)

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

    def count_recipients(self, list topics not None) -> int:
        """How many recipients there are for these topics (bytes), a shared group counted as one."""
        cdef Match* match
        cdef size_t total = 0
        cdef bytes topic
        for topic in topics:
            match = self.match(topic, len(topic))
            total += match.n_plain + match.n_groups
        return total

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


cdef void* arena_copy(Arena* arena, const void* items, size_t size) noexcept nogil:
    cdef void* copy = arena_take(arena, max(size, <size_t>1))
    if copy != NULL and size:
        memcpy(copy, items, size)
    return copy


cdef tuple recipient_row(Recipient* recipient, group):
    cdef uint32_t i
    return (<object>recipient.subscriber, group, recipient.opts, [recipient.ids[i] for i in range(recipient.nids)])
