"""Transports: see transport.pxd. Here are the plain socket, for others to stand on, and a proxy's header."""

from libc.errno cimport EAGAIN, EINTR, EPROTO, errno

from router_ext.message.outbox cimport outbox_consume, outbox_peek

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    ssize_t recv(int fd, void* buf, size_t n, int flags)
    ssize_t send(int fd, const void* buf, size_t n, int flags)


cdef class Transport:
    """`Transport(fd)`: a non-blocking socket, which stays the caller's to close."""

    def __init__(self, int fd):
        self.fd = fd
        self.ready = True

    cdef ssize_t receive(self, uint8_t* p, size_t n, int64_t now) except -2:
        return recv(self.fd, p, n, MSG_DONTWAIT)

    cdef ssize_t transmit(self, const uint8_t* p, size_t n) except -2:
        return send(self.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT)

    cdef int drain(self, Outbox* o, size_t* sent) except -2:
        cdef const uint8_t* p = NULL
        cdef size_t n
        cdef ssize_t taken
        while o.pending:
            n = outbox_peek(o, &p)
            taken = self.transmit(p, n)
            if taken < 0:
                if errno == EINTR:
                    continue
                return 1 if errno == EAGAIN else -1
            outbox_consume(o, <size_t>taken)
            sent[0] += <size_t>taken
        return 0

    cdef int close(self) except -1:
        return 0

    def peer_certificate(self):
        """The client's certificate in DER, or None."""
        return None

    cdef ssize_t fail(self, str reason) noexcept:
        """Ends the connection: `return self.fail(word)`."""
        self.failure = reason
        self.more = False
        set_errno(EPROTO)
        return -1


cdef class Prelude(Transport):
    """The header that a proxy puts before everything else: `Prelude(fd, read_header, following)`.

    Not a byte behind the header is read. `read_header(bytes so far)` returns how many bytes more it needs at least,
    or the client's socket address (bytes), or None where the header names none; it raises ValueError on anything
    else. `following` is the connection's transport from then on, None for a plain socket."""

    def __init__(self, int fd, read_header not None, Transport following=None):
        self.fd = fd
        self.read_header = read_header
        self.following = following
        self.header = bytearray()

    cdef ssize_t receive(self, uint8_t* p, size_t n, int64_t now) except -2:
        cdef ssize_t got
        while not self.ready:
            try:
                answer = self.read_header(bytes(self.header))
            except ValueError:
                return self.fail("proxy_protocol_error")
            if not isinstance(answer, int):
                self.address = answer
                self.ready = self.more = True
                break
            got = recv(self.fd, p, min(<size_t>answer, n), MSG_DONTWAIT)
            if got <= 0:
                return got
            self.header += p[:got]
        set_errno(EAGAIN)
        return -1

    cdef int drain(self, Outbox* o, size_t* sent) except -2:
        return 1
