"""A search: who gets a message on one topic, found over several turns while the table goes on changing.

What has been found is kept by subscriber, not by node or row, which may be gone in the next turn. Subscriptions that come
or go meanwhile are found or not, as if the message had come before or after them.
"""

from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memset

from router_ext.memory.arena cimport arena_take, arena_tear_down
from router_ext.routing.router cimport Group, Subscriber
from router_ext.routing.shared_groups cimport share_group
from router_ext.routing.subscription cimport recipient_set, row_at
from router_ext.routing.trie cimport (
    Node, place_of, place_tear_down, trie_match, trie_match_on, trie_node, trie_path, walk_tear_down,
)

cdef enum:
    ROWS_A_LOOK = 2


cdef class Search(Chore):

    def __init__(self, Router router not None, bytes topic not None):
        self.router = router
        self.topic = topic
        self.places = {}
        self.groups = []

    def __dealloc__(self):
        walk_tear_down(&self.walk)
        place_tear_down(&self.place)
        arena_tear_down(&self.arena)
        free(self.plain)

    cdef int found(self) except -1:
        """It is over: `result` may be asked for."""
        raise NotImplementedError

    cdef bint is_for(self, const uint8_t* topic, size_t n) noexcept:
        return <size_t>len(self.topic) == n and memcmp(<const uint8_t*>self.topic, topic, n) == 0

    cdef bint go_on(self, int64_t* looks) except? True:
        cdef const uint8_t* topic = self.topic
        cdef uint32_t n = <uint32_t>len(self.topic)
        cdef bint done
        if not self.begun:
            self.begun = True
            self.since = self.router.generation
            done = trie_match(&self.router.trie, topic, n, looks[0], &self.walk)
        else:
            done = trie_match_on(&self.router.trie, topic, n, looks[0], &self.walk, &self.place)
        if not done or (self.walk.cut and not place_of(&self.router.trie, &self.walk, &self.place)):
            raise MemoryError
        looks[0] = self.walk.looks - self.gather() // ROWS_A_LOOK
        if self.walk.cut:
            return True
        if self.since == self.router.generation:
            self.router.remember(topic, n, self.result())
        self.found()
        return False

    cdef int gather(self) except -1:
        """Adds what ends at the nodes that this piece has found; how many rows that are."""
        cdef Router router = self.router
        cdef uint32_t i, number
        cdef int rows = 0
        cdef Node* node
        cdef Group* group
        for i in range(self.walk.n_found):
            node = trie_node(&router.trie, self.walk.found[i])
            number = node.head
            while number:
                self.add(row_at(&router.rows, number))
                number = row_at(&router.rows, number).next
                rows += 1
            number = node.groups
            while number:
                group = share_group(&router.shares, number)
                self.groups.append((trie_path(&router.trie, self.walk.found[i]), group.name[:group.name_len]))
                number = group.next
                rows += 1
        return rows

    cdef int add(self, Subscription* row) except -1:
        """One copy for each subscriber [MQTT-3.3.4-2], as `Router.merge_rows` has it."""
        cdef Subscriber subscriber = <Subscriber>row.subscriber
        cdef Recipient* recipient
        cdef uint32_t* ids
        if subscriber.gone:
            return 0
        place = self.places.get(subscriber)
        if place is not None:
            if not self.router.merge_row(self.plain + <uint32_t>place, row, &self.arena):
                raise MemoryError
            return 0
        self.make_room()
        recipient = self.plain + self.n_plain
        recipient_set(recipient, row)
        if recipient.nids:  # the row may be gone before the message is
            ids = <uint32_t*>arena_take(&self.arena, sizeof(uint32_t))
            if ids == NULL:
                raise MemoryError
            ids[0] = row.subid
            recipient.ids = ids
        self.places[subscriber] = self.n_plain
        self.n_plain += 1
        return 0

    cdef int make_room(self) except -1:
        cdef uint32_t room = max(<uint32_t>16, 2 * self.max_plain)
        cdef Recipient* plain
        if self.n_plain < self.max_plain:
            return 0
        plain = <Recipient*>realloc(self.plain, room * sizeof(Recipient))
        if plain == NULL:
            raise MemoryError
        self.plain = plain
        self.max_plain = room
        return 0

    cdef Match* result(self) except NULL:
        """Who of those found is still there. Valid until the next change of the table."""
        cdef Match* match = &self.match
        cdef Group* group
        cdef uint32_t i
        cdef bytes topic_filter, name
        memset(match, 0, sizeof(Match))
        match.plain = self.plain
        for i in range(self.n_plain):
            if not (<Subscriber>self.plain[i].subscriber).gone:
                self.plain[match.n_plain] = self.plain[i]
                match.n_ids += self.plain[i].nids
                match.n_plain += 1
        self.n_plain = match.n_plain
        match.groups = <Group**>arena_take(&self.arena, max(1, len(self.groups)) * sizeof(Group*))
        if match.groups == NULL:
            raise MemoryError
        for topic_filter, name in self.groups:
            group = self.router.group(topic_filter, len(topic_filter), name, len(name))
            if group != NULL:
                match.groups[match.n_groups] = group
                match.n_groups += 1
        return match
