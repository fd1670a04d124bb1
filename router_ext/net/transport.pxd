"""The layers between a socket and a channel's bytes: TLS, WebSocket frames, a proxy's header.

A connection with `transport` None speaks plain TCP and pays nothing for any of this. Layers are stacked by `below`;
the lowest one does the system calls.
"""

from libc.stdint cimport int64_t, uint8_t

from router_ext.message.outbox cimport Outbox

cdef extern from * nogil:
    """
    #include <errno.h>
    static inline void set_errno(int error) { errno = error; }
    """
    void set_errno(int error)

cdef class Transport:
    cdef int fd
    cdef readonly bint ready        # the peer may speak MQTT: this layer and those below have shaken hands
    cdef bint more                  # bytes are here that no poller tells of
    cdef bint stuck                 # something of the layer's own waits for the socket
    cdef readonly str failure       # the word that counts this end, None for an ordinary one

    # Bytes for the layer above: as many as there are, 0 at the end, -1 with errno (EAGAIN: nothing yet).
    cdef ssize_t receive(self, uint8_t* p, size_t n, int64_t now) except -2
    # Bytes to the peer: how many were taken, -1 with errno. After EAGAIN the next call begins with the same bytes.
    cdef ssize_t transmit(self, const uint8_t* p, size_t n) except -2
    # What `outbox_send` does: 0 all gone, 1 the socket is full, -1 failed.
    cdef int drain(self, Outbox* o, size_t* sent) except -2
    # A last word to the peer, as far as the socket takes it.
    cdef int close(self) except -1
    cdef ssize_t fail(self, str reason) noexcept

cdef class Prelude(Transport):
    cdef readonly Transport following       # what the connection goes on with once this is ready
    cdef readonly bytes address             # the client's socket address, as the header gives it; None: not given
    cdef bytearray header
    cdef object read_header                 # (bytes) -> how many bytes are still missing, or the address
