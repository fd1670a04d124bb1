"""Watches: see watch.pxd. They stand in a table of their own, which remembers matches by topic as the router's does."""

from router_ext.routing.router cimport Match

cdef enum:
    TOPICS_REMEMBERED = 8192


cdef class Watch(Subscriber):
    """Counts the messages whose topics `topic_filter` matches, from when the engine has it."""

    def __init__(self, str topic_filter not None, bint traced=False):
        self.topic_filter = topic_filter
        self.traced = traced

    def figures(self) -> tuple:
        """Messages received and sent, each by QoS, queued, acknowledged and dropped: nine numbers; and the bytes of the
        payloads received and sent."""
        cdef uint8_t i
        return (*[self.messages[i] for i in range(<int>SEEN)],
                self.octets[0] + self.octets[1] + self.octets[2], self.octets[3] + self.octets[4] + self.octets[5])


cdef class Watches:

    def __init__(self):
        self.table = Router(cache_topics=TOPICS_REMEMBERED)
        self.clients = set()

    cdef bint any(self):
        return self.table.subscriber_count != 0 or len(self.clients) != 0

    cdef bint count(self, const uint8_t* topic, size_t n, uint8_t seen, uint64_t messages,
                    uint64_t octets) except? True:
        """Counts for each watch whose filter matches; whether one of them is traced."""
        cdef Match* match = self.table.match(topic, n)
        cdef Watch watch
        cdef bint traced = False
        cdef uint32_t i
        for i in range(match.n_plain):
            watch = <Watch>match.plain[i].subscriber
            watch.messages[seen] += messages
            watch.octets[seen] += octets
            traced |= watch.traced
        return traced

    cdef bint concerns(self, const uint8_t* client, size_t n) except? True:
        """Whether a client of that id is traced."""
        return len(self.clients) != 0 and client[:n] in self.clients

    cdef bint may_report(self) noexcept:
        """Takes room for telling of a message; False, and counts it as skipped, when there is none."""
        if self.room == 0:
            self.skipped += 1
            return False
        self.room -= 1
        return True
