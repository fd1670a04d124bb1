"""One level of a trie, walked some names at a time."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from router_ext.protocol.topic cimport level_end
from router_ext.routing.trie cimport ROOT, Node, trie_holds, trie_node, trie_reach, trie_text

cdef enum:
    RESTARTS = 8             # of a walk whose place is taken away, each of which sees all names again


cdef class Level:
    """The names of the level below a path, in no order. They may come twice, and what comes or goes meanwhile may be
    missed; what stays is seen."""

    def __init__(self):
        raise TypeError("made by what has the trie")

    cdef void begin(self) noexcept:
        cdef size_t into = 0
        self.parent = ROOT if self.path is None else trie_reach(self.trie, self.path, len(self.path), &into)
        self.at = 0
        self.done = self.parent == 0
        if self.parent and into == trie_node(self.trie, self.parent).text_len:
            self.at = trie_node(self.trie, self.parent).first

    cdef bint is_here(self) noexcept:
        """Whether the next child is still one."""
        cdef Node* parent = trie_node(self.trie, self.parent)
        return (self.at == 0 or (trie_holds(self.trie, self.at) and trie_node(self.trie, self.at).parent == self.parent
                                 and self.at != parent.plus and self.at != parent.hash))

    def take(self, int64_t looks=5000) -> list:
        """The next names, as bytes; there may be more unless it is `done`."""
        cdef list names = []
        cdef Node* node
        cdef const uint8_t* text
        cdef size_t into = 0
        cdef uint32_t found
        if self.done:
            return names
        found = ROOT if self.path is None else trie_reach(self.trie, self.path, len(self.path), &into)
        if found == 0:
            self.done = True
            return names
        node = trie_node(self.trie, found)
        if into < node.text_len and found != ROOT:      # the rest of the only filter below it
            text = trie_text(self.trie, node)
            into += 1
            names.append(text[into:level_end(text, into, node.text_len)])
            self.done = True
            return names
        if found != self.parent or not self.is_here():
            self.restarts += 1
            self.begin()
            self.done = self.done or self.restarts > RESTARTS
        while self.at and looks > 0 and not self.done:
            node = trie_node(self.trie, self.at)
            names.append(trie_text(self.trie, node)[:node.name_len])
            self.at = node.next
            looks -= 1
        if self.at == 0 and not self.done:
            node = trie_node(self.trie, self.parent)
            names += [b"+"] * (node.plus != 0) + [b"#"] * (node.hash != 0)
            self.done = True
        return names


cdef Level level_of(object owner, const Trie* trie, bytes path):
    """`path` None: the first level."""
    cdef Level level = Level.__new__(Level)
    level.owner = owner
    level.trie = trie
    level.path = path
    level.begin()
    return level


cdef uint32_t children_of(const Trie* trie, bytes path, uint32_t most) noexcept:
    """How many names there are below a path, no more than `most` of them counted."""
    cdef size_t into = 0
    cdef uint32_t number = trie_reach(trie, path, len(path), &into)
    cdef Node* node
    cdef uint32_t count
    if number == 0:
        return 0
    node = trie_node(trie, number)
    if into < node.text_len:
        return 1
    count = (node.plus != 0) + (node.hash != 0)
    number = node.first
    while number and count < most:
        count += 1
        number = trie_node(trie, number).next
    return min(count, most)
