"""Turns: accept, read, deliver, flush. See reactor.pxd.

One epoll instance of our own, which the event loop watches as a single descriptor: a connection costs the loop no
watcher, and a turn works through up to EVENTS ready sockets without a Python call for each.
"""

from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, errno
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from router_ext.net.epoll cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, epoll_create1, epoll_ctl,
    epoll_event, epoll_wait,
)
from router_ext.engine.stored_sessions cimport read_store_replies
from router_ext.net.tls cimport TlsTransport
from router_ext.net.transport cimport Prelude, Transport
from router_ext.net.websocket cimport WebSocketTransport

from router_ext.engine.housekeeping import tick

cdef extern from "<sys/socket.h>" nogil:
    cdef struct sockaddr:
        pass
    cdef struct sockaddr_storage:
        pass
    ctypedef uint32_t socklen_t
    enum: SOCK_NONBLOCK
    enum: SOCK_CLOEXEC

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    """
    int accept4(int fd, sockaddr* address, socklen_t* n, int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef enum:
    EVENTS = 256
    ACCEPTS = 64            # of one listener in one turn
    LOOKS = 16384           # of all channels in one turn, about a millisecond, and as many of chores
    IPV4_SIZE = 16          # bytes of an IPv4 socket address,
    IPV4_USED = 8           # and of family, port and host in it: the rest is padding, and connections keep theirs


cdef class Acceptor:
    """A listening socket and what its connections get: a zone, and the layers between socket and MQTT."""

    def __init__(self, int fd, Zone zone not None, listener not None, *, TlsContext tls=None,
                 WebSocketLimits websocket=None, read_proxy_header=None, uint32_t max_rate=0):
        self.fd = fd
        self.zone = zone
        self.listener = listener
        self.tls = tls
        self.websocket = websocket
        self.read_proxy_header = read_proxy_header
        self.max_rate = max_rate

    def renew(self, TlsContext tls not None):
        """Connections from now on get `tls`; those that are there keep what they have."""
        self.tls = tls

    cdef bint over_rate(self, int64_t now) noexcept:
        """A bucket that holds a tenth of a second's connections."""
        cdef double most = max(1.0, self.max_rate / 10.0)
        if self.max_rate == 0:
            return False
        self.tokens = min(most, self.tokens + (now - self.refilled) * self.max_rate / 1000.0)
        self.refilled = now
        if self.tokens < 1.0:
            return True
        self.tokens -= 1.0
        return False

    cdef Transport build_transport(self, int fd):
        """The layers of a new connection; None for a plain one."""
        cdef Transport layers = None
        if self.tls is not None:
            layers = TlsTransport(fd, self.tls)
        if self.websocket is not None:
            layers = WebSocketTransport(layers if layers is not None else Transport(fd), self.websocket)
        if self.read_proxy_header is not None:
            layers = Prelude(fd, self.read_proxy_header, layers)
        return layers


cdef class Reactor:

    def __cinit__(self):
        self.epfd = -1

    def __init__(self, Engine engine not None):
        self.engine = engine
        self.acceptors = []
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            raise OSError(errno, "epoll_create1")

    def __dealloc__(self):
        if self.epfd >= 0:
            close(self.epfd)

    def fileno(self):
        """Readable when a turn has something to do."""
        return self.epfd

    def listen(self, Acceptor acceptor not None):
        """Accepts from a listening socket until `stop_listening`."""
        self.watch(acceptor, EPOLL_CTL_ADD)
        self.acceptors.append(acceptor)

    def listen_to_store(self):
        """Hears what the store says to the engine's journal."""
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.ptr = <void*>self.engine.journal
        if epoll_ctl(self.epfd, EPOLL_CTL_ADD, self.engine.journal.fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")

    def stop_listening(self, Acceptor acceptor not None):
        self.acceptors.remove(acceptor)
        if not acceptor.paused:
            self.watch(acceptor, EPOLL_CTL_DEL)

    def watch(self, Acceptor acceptor not None, int op):
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.ptr = <void*>acceptor
        if epoll_ctl(self.epfd, op, acceptor.fd, &event) < 0:
            raise OSError(errno, "epoll_ctl")

    cpdef int run(self) except -1:
        """A turn at this moment; what is left after it has the loop come back."""
        cdef timespec t
        clock_gettime(CLOCK_MONOTONIC, &t)
        if self.turn(<int64_t>t.tv_sec * 1000 + t.tv_nsec // 1000000) and self.engine.wake is not None:
            self.engine.wake()
        return 0

    def turn(self, int64_t now):
        """Works off what is ready at `now` (monotonic ms). True when more is left for the next turn."""
        cdef Engine engine = self.engine
        engine.now = engine.egress.now = now
        engine.egress.turn += 1
        if engine.graveyard:
            engine.graveyard.clear()
        engine.in_turn = True
        engine.looks = LOOKS
        engine.taken = None
        try:
            engine.chores.work(LOOKS)
            self.run_ready()
            self.run_events()
            self.settle()
        finally:
            engine.in_turn = False
        if engine.router.leaving and engine.router.clear_up():
            return True
        return len(engine.ready) > 0 or len(engine.reports) > 0 or len(engine.chores) > 0

    def tick(self, int64_t now):
        """The periodic part: slow subscribers, silent clients, retries, paused listeners. Call it every 100 ms or so;
        returns the channels whose client was silent too long."""
        cdef Acceptor a
        cdef list silent
        self.engine.now = now
        self.engine.in_turn = True
        try:
            self.engine.egress.judge(now)
            silent = tick(self.engine, now)
            for a in self.acceptors:
                if a.paused:
                    a.paused = False
                    self.watch(a, EPOLL_CTL_ADD)
            self.settle()
        finally:
            self.engine.in_turn = False
        return silent

    cdef int run_ready(self) except -1:
        cdef list ready = self.engine.ready
        cdef Channel c
        if not ready:
            return 0
        self.engine.ready = []
        for c in ready:
            self.engine.spent = 0
            try:
                c.resume_reading()
            except Exception as error:
                self.engine.policy.on_error(c, error)
            self.engine.egress.flush_touched_since(c)
        return 0

    cdef int run_events(self) except -1:
        cdef epoll_event events[EVENTS]
        cdef int n = epoll_wait(self.epfd, events, EVENTS, 0), i
        for i in range(n):
            source = <object>events[i].data.ptr
            if isinstance(source, Channel):
                try:
                    self.serve(<Channel>source, events[i].events)
                except Exception as error:
                    self.engine.policy.on_error(source, error)
                self.engine.egress.flush_touched_since(<Channel>source)
            elif source is self.engine.journal:
                read_store_replies(self.engine)
            else:
                self.accept_some(<Acceptor>source)
        return 0

    cdef int serve(self, Channel c, uint32_t events) except -1:
        if c.fd < 0:
            return 0  # closed earlier in this turn
        self.engine.spent = 0
        if events & EPOLLOUT:
            c.writable()
        if c.holds and events & (EPOLLERR | EPOLLHUP):
            c.hung_up()
        elif events & (EPOLLIN | EPOLLERR | EPOLLHUP):
            c.readable()
        return 0

    cdef int accept_some(self, Acceptor a) except -1:
        cdef sockaddr_storage address
        cdef socklen_t length
        cdef int fd, i
        for i in range(ACCEPTS):
            if a.over_rate(self.engine.now):
                if i == 0:  # or else the poller tells whether one more waits
                    self.pause(a)
                    a.listener.hurried()
                return 0
            length = sizeof(address)
            fd = accept4(a.fd, <sockaddr*>&address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                a.tokens += 1.0
                if errno == EMFILE or errno == ENFILE:
                    self.pause(a)
                    a.listener.exhausted()
                elif errno == EINTR or errno == ECONNABORTED:
                    continue
                return 0
            peer = (<uint8_t*>&address)[:IPV4_USED if length == IPV4_SIZE else length]
            if not a.listener.admit(peer):
                close(fd)
                continue
            Channel(self.engine, a.zone, fd, peer, a.listener, self.epfd, a.build_transport(fd))
        return 0

    cdef int pause(self, Acceptor a) except -1:
        """Until the next tick; who connects meanwhile waits in the kernel."""
        a.paused = True
        self.watch(a, EPOLL_CTL_DEL)
        return 0

    cdef int settle(self) except -1:
        """Ends a turn: everything queued is written, and what that made possible is done."""
        cdef Engine engine = self.engine
        cdef Channel c
        cdef list work
        engine.notify_handlers()
        if engine.journal is not None:
            engine.journal.flush()
        while True:
            engine.egress.flush_all()
            if engine.drained:
                work = engine.drained
                engine.drained = []
                for c in work:
                    c.after_drain()
            elif engine.egress.failures:
                work = list(engine.egress.failures)
                engine.egress.failures.clear()
                for c in work:
                    c.cut_off()
            else:
                return 0
