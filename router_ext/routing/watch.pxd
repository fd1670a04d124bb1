"""Watches: what is counted, or traced, of the messages of some topics and some clients.

Part of the engine. Watches stand in a routing table of their own, as its subscribers, so that finding those of a topic
is one look into a cache of matches. `room` bounds what is reported between two times that it is set; what is beyond
it is counted in `skipped`. Without a watch, a message costs one look at `Engine.watched`.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from router_ext.routing.router cimport Router, Subscriber

cdef enum Seen:         # what can become of a message; those by QoS have three places
    SEEN_RECEIVED = 0
    SEEN_SENT = 3
    SEEN_QUEUED = 6
    SEEN_ACKED = 7
    SEEN_DROPPED = 8
    SEEN = 9

cdef class Watch(Subscriber):
    cdef readonly str topic_filter
    cdef readonly bint traced           # what becomes of each message is told
    cdef uint64_t messages[SEEN]
    cdef uint64_t octets[SEEN]          # of their payloads

cdef class Watches:
    cdef Router table                   # filter -> Watch
    cdef set clients                    # ids of traced clients, bytes
    cdef public uint32_t room           # how much more may be told of before it is set again
    cdef readonly uint64_t skipped      # what was not told of for want of room

    cdef bint any(self)
    cdef bint count(self, const uint8_t* topic, size_t n, uint8_t seen, uint64_t messages, uint64_t octets) except? True
    cdef bint concerns(self, const uint8_t* client, size_t n) except? True
    cdef bint may_report(self) noexcept
