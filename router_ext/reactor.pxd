"""The reactor: readiness of all MQTT sockets of a node, collected by one epoll instance and worked off in turns."""

from libc.stdint cimport int64_t, uint32_t

from router_ext.channel cimport Channel
from router_ext.engine cimport Engine
from router_ext.zone cimport Zone

cdef class Acceptor:
    cdef readonly int fd             # a listening socket, owned by the caller
    cdef readonly Zone zone
    cdef readonly object listener    # has opened(), full and closed(reason)
    cdef public uint32_t max_rate    # connections a second, 0: no limit
    cdef uint32_t accepted           # in the second that began at `second`
    cdef int64_t second              # ms
    cdef bint paused                 # out of descriptors, or over the rate: tried again at the next tick

cdef class Reactor:
    cdef Engine engine
    cdef int epfd
    cdef readonly list acceptors

    cdef int run_ready(self) except -1
    cdef int run_events(self) except -1
    cdef int serve(self, Channel c, uint32_t events) except -1
    cdef int accept_some(self, Acceptor a) except -1
    cdef int pause(self, Acceptor a) except -1
    cdef bint over_rate(self, Acceptor a) noexcept
    cdef int settle(self) except -1
