"""Retained messages (MQTT 5.0, section 3.3.1.3; MQTT 3.1.1, section 3.3.1.3).

The topics form the same trie as the filters of the router, walked the other way round: a filter visits the levels it
names and, at its wildcards, the children that exist, never all topics. Where those are too many for one turn of the loop,
records are gone through in their order instead, some of them each turn.
"""

import os

from libc.stdlib cimport free, malloc, qsort

from router_ext.message.message cimport (
    MSG_HAS_EXPIRY, MSG_SYS, Message, msg_expired, msg_ref, msg_topic, msg_unref, wrap,
)
from router_ext.memory.pool cimport (
    pool_at, pool_bytes, pool_end, pool_give, pool_holds, pool_set_up, pool_take, pool_tear_down,
)
from router_ext.protocol.topic cimport matches
from router_ext.routing.level cimport Level, children_of, level_of
from router_ext.routing.trie cimport (
    trie_bytes, trie_find, trie_node, trie_path, trie_place, trie_prune, trie_select, trie_set_up, trie_tear_down,
    walk_tear_down,
)


cdef enum:
    LOOKS = 10000           # nodes visited for a look-up at once: about a millisecond
    ALL = 0xFFFFFFFF


cdef inline Kept* kept_at(const Pool* records, uint32_t number) noexcept nogil:
    return <Kept*>pool_at(records, number)


cdef inline bint is_kept(const Pool* records, uint32_t number) noexcept nogil:
    return pool_holds(records, number) and kept_at(records, number).node != 0


cdef int by_turn(const void* a, const void* b) noexcept nogil:
    cdef uint64_t x = (<const Found*>a).turn, y = (<const Found*>b).turn
    return (x > y) - (x < y)


cdef inline bint outlived(Msg* msg, int64_t now_ms, int64_t lifetime_ms) noexcept nogil:
    if msg.flags & (MSG_HAS_EXPIRY | MSG_SYS) or lifetime_ms == 0:
        return msg_expired(msg, now_ms)
    return now_ms - msg.arrived >= lifetime_ms


cdef class RetainedStore:

    def __cinit__(self):
        pool_set_up(&self.records, sizeof(Kept))
        if not trie_set_up(&self.trie, int.from_bytes(os.urandom(8), "little")):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t number
        for number in range(pool_end(&self.records)):
            if is_kept(&self.records, number):
                msg_unref(kept_at(&self.records, number).msg)
        pool_tear_down(&self.records)
        walk_tear_down(&self.walk)
        trie_tear_down(&self.trie)

    def __len__(self):
        return self.count

    def __contains__(self, bytes topic not None):
        return self.find(topic, len(topic)) != NULL

    cdef int put(self, Msg* msg) except -1:
        """Keeps a message, with a reference of its own, in place of the topic's last one [MQTT-3.3.1-5].

        1 when the topic had none."""
        cdef uint32_t node = trie_place(&self.trie, msg_topic(msg), msg.topic_len)
        cdef uint32_t number = self.new_record(node) if node else 0
        cdef Kept* kept
        cdef bint fresh
        if number == 0:
            raise MemoryError
        kept = kept_at(&self.records, number)
        fresh = kept.msg == NULL
        msg_ref(msg)
        if not fresh:
            self.expiring -= kept.msg.flags & MSG_HAS_EXPIRY != 0
            msg_unref(kept.msg)
        kept.msg = msg
        self.turn += 1
        kept.turn = self.turn
        self.expiring += msg.flags & MSG_HAS_EXPIRY != 0
        return fresh

    cdef uint32_t new_record(self, uint32_t node) noexcept:
        """The record of a topic, with no message when it is new; 0 when memory is out."""
        cdef uint32_t number = trie_node(&self.trie, node).head
        if number:
            return number
        number = pool_take(&self.records)
        if number == 0:
            trie_prune(&self.trie, node)
            return 0
        kept_at(&self.records, number).node = node
        kept_at(&self.records, number).msg = NULL
        trie_node(&self.trie, node).head = number
        self.count += 1
        return number

    cdef void forget(self, uint32_t number) noexcept:
        cdef Kept* kept = kept_at(&self.records, number)
        cdef uint32_t node = kept.node
        self.expiring -= kept.msg.flags & MSG_HAS_EXPIRY != 0
        self.count -= 1
        msg_unref(kept.msg)
        kept.node = 0
        pool_give(&self.records, number)
        trie_node(&self.trie, node).head = 0
        trie_prune(&self.trie, node)

    cdef Msg* find(self, const uint8_t* topic, size_t n) noexcept:
        """The message of a topic, borrowed; NULL when it has none."""
        cdef uint32_t node = trie_find(&self.trie, topic, n) if n else 0
        cdef uint32_t number = trie_node(&self.trie, node).head if node else 0
        return kept_at(&self.records, number).msg if number else NULL

    cdef int64_t seek(self, const uint8_t* topic_filter, size_t n, int64_t looks, bint* found) except? 0:
        """Whether a valid filter leads to any message, so that a cursor is worth making, as far as `looks` tell; how many
        of them that took."""
        found[0] = False
        if self.count == 0:
            return 0
        if not trie_select(&self.trie, topic_filter, <uint32_t>n, looks, 1, &self.walk):
            raise MemoryError
        found[0] = self.walk.n_found != 0 or self.walk.cut
        return looks - self.walk.looks

    def add(self, Message message not None) -> bool:
        """`put` for a message made in Python: True when the topic had none."""
        return self.put(message.msg) == 1

    def delete(self, bytes topic not None) -> bool:
        """True when the topic had a message [MQTT-3.3.1-6]."""
        cdef uint32_t node = trie_find(&self.trie, topic, len(topic)) if topic else 0
        if node == 0 or trie_node(&self.trie, node).head == 0:
            return False
        self.forget(trie_node(&self.trie, node).head)
        return True

    def get(self, bytes topic not None):
        """The topic's Message, or None. It may have expired since the last sweep."""
        cdef Msg* msg = self.find(topic, len(topic))
        return wrap(msg) if msg != NULL else None

    def search(self, bytes topic_filter not None, int64_t looks=LOOKS):
        """A RetainedCursor over what a valid filter matches now."""
        return RetainedCursor(self, topic_filter, looks)

    def level(self, bytes path) -> Level:
        """The names below a path of levels; below None those of the first level."""
        return level_of(self, &self.trie, path)

    def children(self, bytes path not None, uint32_t most) -> int:
        """How many names there are below a path, no more than `most` of them counted."""
        return children_of(&self.trie, path, most)

    def topics(self):
        """The topic of each message, in no order.

        The store may change while this walks it: what stays is seen once, what comes or goes may be missed."""
        cdef uint32_t number
        for number in range(pool_end(&self.records)):
            if is_kept(&self.records, number):
                yield trie_path(&self.trie, kept_at(&self.records, number).node).decode()

    def clear(self) -> int:
        """Removes every message; how many there were."""
        cdef uint32_t removed = self.count, number
        for number in range(pool_end(&self.records)):
            if is_kept(&self.records, number):
                self.forget(number)
        return removed

    def sweep(self, int64_t now_ms, uint32_t budget, int64_t lifetime_ms=0) -> list:
        """Removes messages whose Message Expiry Interval has passed [MQTT-3.3.2-5]; their topics.

        Looks at no more than `budget` records and goes on behind them the next time. `now_ms` is monotonic.
        `lifetime_ms`: how long messages are kept that bring no interval of their own, but for those below $SYS;
        0 for ever."""
        cdef uint32_t end = pool_end(&self.records)
        cdef uint32_t looks = min(budget, end) if self.expiring or lifetime_ms else 0
        cdef list removed = []
        cdef Msg* msg
        while looks:
            looks -= 1
            self.swept = self.swept + 1 if self.swept + 1 < end else 0
            if is_kept(&self.records, self.swept) and outlived(kept_at(&self.records, self.swept).msg, now_ms,
                                                               lifetime_ms):
                msg = kept_at(&self.records, self.swept).msg
                removed.append(msg_topic(msg)[:msg.topic_len])
                self.forget(self.swept)
        return removed

    def memory(self) -> int:
        """Bytes held, but for the messages themselves and for levels of more than 256 bytes."""
        return trie_bytes(&self.trie) + pool_bytes(&self.records)


cdef class RetainedCursor:
    """`RetainedCursor(store, topic_filter, looks)`: the messages that a filter matched when the cursor was made. Those that
    were replaced or removed before their turn are left out. Those that fit a look-up of `looks` nodes come oldest first.

    Some may have expired. Wildcards in the first level match no topic that begins with `$` [MQTT-4.7.2-1]."""

    def __init__(self, RetainedStore store not None, bytes topic_filter not None, int64_t looks):
        if not 0 < len(topic_filter) <= 0xFFFF:
            raise ValueError("a topic filter has 1 to 65,535 bytes")
        self.store = store
        self.topic_filter = topic_filter
        self.until = store.turn
        self.look_up(looks)
        self.done = self.end == 0

    def __dealloc__(self):
        free(self.found)

    cdef int look_up(self, int64_t looks) except -1:
        cdef RetainedStore store = self.store
        cdef Walk* walk = &store.walk
        cdef uint32_t i
        if not trie_select(&store.trie, self.topic_filter, <uint32_t>len(self.topic_filter), looks, ALL, walk):
            raise MemoryError
        self.looked = looks - walk.looks
        if walk.cut:
            self.scanning = True
            self.end = pool_end(&store.records)
            return 0
        self.end = walk.n_found
        self.found = <Found*>malloc(max(self.end, 1) * sizeof(Found))
        if self.found == NULL:
            raise MemoryError
        for i in range(self.end):
            self.found[i].number = trie_node(&store.trie, walk.found[i]).head
            self.found[i].turn = kept_at(&store.records, self.found[i].number).turn
        qsort(self.found, self.end, sizeof(Found), by_turn)
        return 0

    cdef Msg* next(self, int64_t* looks) except? NULL:
        """The next message, borrowed; NULL when `looks` records were looked at, or when it is `done`."""
        cdef Pool* records = &self.store.records
        cdef Kept* kept
        cdef uint32_t number
        while looks[0] > 0 and self.at < self.end:
            looks[0] -= 1
            number = self.at if self.scanning else self.found[self.at].number
            self.at += 1
            self.done = self.at >= self.end
            if not is_kept(records, number):
                continue
            kept = kept_at(records, number)
            if self.scanning:
                if kept.turn > self.until or not matches(self.topic_filter, len(self.topic_filter), msg_topic(kept.msg),
                                                         kept.msg.topic_len):
                    continue
            elif kept.turn != self.found[self.at - 1].turn:
                continue
            if self.overtaken is None or kept.turn not in self.overtaken:
                return kept.msg
        return NULL

    cdef Msg* fetch(self, const uint8_t* topic, size_t n) except? NULL:
        """The message of one topic, if its turn is still to come, out of turn; NULL otherwise."""
        cdef uint32_t node = trie_find(&self.store.trie, topic, n)
        cdef uint32_t number = trie_node(&self.store.trie, node).head if node else 0
        cdef Kept* kept
        if number == 0:
            return NULL
        kept = kept_at(&self.store.records, number)
        if kept.turn > self.until or not matches(self.topic_filter, len(self.topic_filter), topic, n):
            return NULL
        if number < self.at if self.scanning else (self.at and kept.turn <= self.found[self.at - 1].turn):
            return NULL
        if self.overtaken is None:
            self.overtaken = set()
        if kept.turn in self.overtaken:
            return NULL
        self.overtaken.add(kept.turn)
        return kept.msg

    def take(self, int64_t looks=LOOKS) -> list:
        """The next Messages, found in `looks` records; there may be more unless it is `done`."""
        cdef list messages = []
        cdef Msg* msg = self.next(&looks)
        while msg != NULL:
            messages.append(wrap(msg))
            msg = self.next(&looks)
        return messages
