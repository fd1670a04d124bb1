"""TLS over OpenSSL, called from C: no Python object and no copy between a record and the channel's buffer.

A TlsContext is a listener's, shared by its connections. A TlsTransport owns its SSL, and is owned by its channel.
Connections in use keep OpenSSL's buffers, idle ones have none. Invariant: one read makes no more than a bounded number
of steps of handshakes and changes of keys, so that no client keeps the loop.
"""

from libc.stdint cimport uint8_t

from router_ext.net.transport cimport Transport

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    typedef struct ssl_st SSL;
    typedef struct ssl_ctx_st SSL_CTX;
    """
    ctypedef struct SSL
    ctypedef struct SSL_CTX

cdef class TlsContext:
    cdef SSL_CTX* ctx
    cdef readonly bytes password        # of the private key; OpenSSL keeps a pointer to it
    cdef readonly dict psk              # identity bytes -> key bytes, or None

cdef class TlsTransport(Transport):
    cdef SSL* ssl
    cdef TlsContext context
    cdef int place                      # among those that keep their buffers, -1 for none
    cdef int steps                      # of handshakes and changes of keys in the read going on
    cdef void keep_buffers(self) noexcept
    cdef void let_go(self) noexcept
    cdef ssize_t outcome(self, int result) except -2
