"""To a client, an alias is given at a topic's first message, and taken from one that was not used for a round of the
table: a hand goes round it, a step for each topic that finds the table full, so that a crowd of topics seen once costs
the others nothing."""

from libc.string cimport memset

cdef enum:
    LONGEST_ALIASED = 1024
    SHORTEST_ALIASED = 4    # the property takes three bytes


cdef class AliasTable:
    """`AliasTable(most)`: as many as the client takes (Topic Alias Maximum)."""

    def __init__(self, uint16_t most):
        self.numbers = {}
        self.topics = [None]
        self.most = min(most, MOST_ALIASES)
        self.hand = 1
        memset(self.used, 0, sizeof(self.used))

    cdef uint16_t alias_of(self, const uint8_t* topic, uint16_t n, bint* known) except? 0:
        """The topic's alias, `known` when the client was told; 0 when it has none."""
        cdef bytes name
        cdef uint16_t alias
        known[0] = False
        if n < SHORTEST_ALIASED or n > LONGEST_ALIASED:
            return 0
        name = topic[:n]
        alias = self.numbers.get(name, 0)
        if alias:
            known[0] = True
            self.used[(alias - 1) >> 3] |= <uint8_t>(1 << ((alias - 1) & 7))
            return alias
        if len(self.numbers) < self.most:
            self.topics.append(None)
            return self.give(<uint16_t>(len(self.topics) - 1), name)
        alias = self.hand
        self.hand = <uint16_t>(alias % self.most + 1)
        if self.used[(alias - 1) >> 3] >> ((alias - 1) & 7) & 1:
            self.used[(alias - 1) >> 3] &= <uint8_t>~(1 << ((alias - 1) & 7))
            return 0
        del self.numbers[self.topics[alias]]
        return self.give(alias, name)

    cdef uint16_t give(self, uint16_t alias, bytes name) except 0:
        self.numbers[name] = alias
        self.topics[alias] = name
        return alias


cdef class ClientAliases:

    def __cinit__(self):
        self.topics = {}

    cdef bint put(self, uint16_t alias, const uint8_t* topic, uint16_t n, size_t most) except -1:
        """The alias stands for the topic from now on [MQTT-3.3.2-12]; False when the topics would have more than `most`
        bytes together."""
        cdef bytes former = self.topics.get(alias)
        cdef size_t size = self.size + n - (<size_t>len(former) if former is not None else 0)
        if size > most:
            return False
        self.topics[alias] = topic[:n]
        self.size = size
        return True

    cdef bytes topic_of(self, uint16_t alias):
        """None when the client gave no such alias."""
        return self.topics.get(alias)
