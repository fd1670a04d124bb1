"""The reactor: readiness of all MQTT sockets of a node, collected by one epoll instance and worked off in turns.

It owns the epoll descriptor; the event of a socket has its channel's address, which is borrowed from
`Engine.channels` or, for one that has just closed, from the graveyard. Invariant: turns do not nest; `Engine.now` and
what a turn may spend are set at its beginning.
"""

from libc.stdint cimport int64_t, uint32_t

from router_ext.engine.channel cimport Channel
from router_ext.engine.engine cimport Engine
from router_ext.net.tls cimport TlsContext
from router_ext.net.transport cimport Transport
from router_ext.net.websocket cimport WebSocketLimits
from router_ext.session.zone cimport Zone

cdef class Acceptor:
    cdef readonly int fd             # a listening socket, owned by the caller
    cdef readonly Zone zone
    cdef readonly object listener    # has admit(address), closed(reason), exhausted(), hurried() and handshake_timeout (ms)
    cdef readonly TlsContext tls     # None: not encrypted; may be replaced while running
    cdef readonly WebSocketLimits websocket     # None: MQTT without frames
    cdef readonly object read_proxy_header      # see Prelude; None: clients connect directly
    cdef public uint32_t max_rate    # connections a second, 0: no limit
    cdef double tokens               # connections that may be accepted now
    cdef int64_t refilled            # ms
    cdef bint paused                 # out of descriptors or over its rate: tried again at the next tick

    cdef bint over_rate(self, int64_t now) noexcept
    cdef Transport build_transport(self, int fd)

cdef class Reactor:
    cdef Engine engine
    cdef int epfd
    cdef readonly list acceptors

    cpdef int run(self) except -1
    cdef int run_ready(self) except -1
    cdef int run_events(self) except -1
    cdef int serve(self, Channel c, uint32_t events) except -1
    cdef int accept_some(self, Acceptor a) except -1
    cdef int pause(self, Acceptor a) except -1
    cdef int settle(self) except -1
