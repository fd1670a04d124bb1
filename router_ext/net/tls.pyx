"""TLS: see tls.pxd.

OpenSSL's functions are declared here and not read from its headers, so that building needs the library alone, which
Python itself brings. Its binary interface is the same in all of 3.x.
"""

from libc.errno cimport EAGAIN, ECONNRESET, EPIPE, errno
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from router_ext.net.transport cimport set_errno

cdef extern from *:
    """
    typedef struct ssl_method_st SSL_METHOD;
    typedef struct x509_st X509;
    typedef struct X509_name_st X509_NAME;
    typedef struct x509_store_st X509_STORE;
    typedef struct x509_lookup_st X509_LOOKUP;
    typedef struct x509_lookup_method_st X509_LOOKUP_METHOD;
    typedef struct stack_st_X509_NAME X509_NAMES;
    typedef unsigned int (*psk_callback)(SSL*, const char*, unsigned char*, unsigned int);
    typedef void (*info_callback)(const SSL*, int, int);

    const SSL_METHOD* TLS_server_method(void);
    SSL_CTX* SSL_CTX_new(const SSL_METHOD*);
    void SSL_CTX_free(SSL_CTX*);
    long SSL_CTX_ctrl(SSL_CTX*, int, long, void*);
    uint64_t SSL_CTX_set_options(SSL_CTX*, uint64_t);
    void SSL_CTX_set_default_read_buffer_len(SSL_CTX*, size_t);
    int SSL_CTX_set_num_tickets(SSL_CTX*, size_t);
    int SSL_CTX_set_session_id_context(SSL_CTX*, const unsigned char*, unsigned int);
    int SSL_CTX_set_cipher_list(SSL_CTX*, const char*);
    int SSL_CTX_set_ciphersuites(SSL_CTX*, const char*);
    int SSL_CTX_use_certificate_chain_file(SSL_CTX*, const char*);
    int SSL_CTX_use_PrivateKey_file(SSL_CTX*, const char*, int);
    int SSL_CTX_check_private_key(const SSL_CTX*);
    void SSL_CTX_set_default_passwd_cb_userdata(SSL_CTX*, void*);
    int SSL_CTX_load_verify_locations(SSL_CTX*, const char*, const char*);
    X509_NAMES* SSL_load_client_CA_file(const char*);
    void SSL_CTX_set_client_CA_list(SSL_CTX*, X509_NAMES*);
    void SSL_CTX_set_verify(SSL_CTX*, int, void*);
    X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX*);
    void SSL_CTX_set_psk_server_callback(SSL_CTX*, psk_callback);
    void SSL_CTX_set_info_callback(SSL_CTX*, info_callback);
    SSL* SSL_new(SSL_CTX*);
    void SSL_free(SSL*);
    int SSL_set_fd(SSL*, int);
    int SSL_set_ex_data(SSL*, int, void*);
    void* SSL_get_ex_data(const SSL*, int);
    void SSL_set_accept_state(SSL*);
    int SSL_do_handshake(SSL*);
    int SSL_read(SSL*, void*, int);
    int SSL_write(SSL*, const void*, int);
    int SSL_shutdown(SSL*);
    void SSL_set_shutdown(SSL*, int);
    long SSL_ctrl(SSL*, int, long, void*);
    int SSL_free_buffers(SSL*);
    int SSL_get_error(const SSL*, int);
    int SSL_has_pending(const SSL*);
    const char* SSL_get_version(const SSL*);
    int SSL_session_reused(const SSL*);
    X509* SSL_get1_peer_certificate(const SSL*);
    void X509_free(X509*);
    int i2d_X509(const X509*, unsigned char**);
    int X509_STORE_set_flags(X509_STORE*, unsigned long);
    X509_LOOKUP* X509_STORE_add_lookup(X509_STORE*, X509_LOOKUP_METHOD*);
    X509_LOOKUP_METHOD* X509_LOOKUP_file(void);
    int X509_load_crl_file(X509_LOOKUP*, const char*, int);
    void ERR_clear_error(void);
    unsigned long ERR_peek_error(void);
    unsigned long ERR_peek_last_error(void);
    const char* ERR_reason_error_string(unsigned long);
    void CRYPTO_free(void*, const char*, int);
    """
    ctypedef struct SSL_METHOD
    ctypedef struct X509
    ctypedef struct X509_STORE
    ctypedef struct X509_LOOKUP
    ctypedef struct X509_LOOKUP_METHOD
    ctypedef struct X509_NAMES
    ctypedef unsigned int (*psk_callback)(SSL*, const char*, unsigned char*, unsigned int) noexcept
    ctypedef void (*info_callback)(const SSL*, int, int) noexcept
    const SSL_METHOD* TLS_server_method() nogil
    SSL_CTX* SSL_CTX_new(const SSL_METHOD*) nogil
    void SSL_CTX_free(SSL_CTX*) nogil
    long SSL_CTX_ctrl(SSL_CTX*, int, long, void*) nogil
    uint64_t SSL_CTX_set_options(SSL_CTX*, uint64_t) nogil
    void SSL_CTX_set_default_read_buffer_len(SSL_CTX*, size_t) nogil
    int SSL_CTX_set_num_tickets(SSL_CTX*, size_t) nogil
    int SSL_CTX_set_session_id_context(SSL_CTX*, const unsigned char*, unsigned int) nogil
    int SSL_CTX_set_cipher_list(SSL_CTX*, const char*) nogil
    int SSL_CTX_set_ciphersuites(SSL_CTX*, const char*) nogil
    int SSL_CTX_use_certificate_chain_file(SSL_CTX*, const char*) nogil
    int SSL_CTX_use_PrivateKey_file(SSL_CTX*, const char*, int) nogil
    int SSL_CTX_check_private_key(const SSL_CTX*) nogil
    void SSL_CTX_set_default_passwd_cb_userdata(SSL_CTX*, void*) nogil
    int SSL_CTX_load_verify_locations(SSL_CTX*, const char*, const char*) nogil
    X509_NAMES* SSL_load_client_CA_file(const char*) nogil
    void SSL_CTX_set_client_CA_list(SSL_CTX*, X509_NAMES*) nogil
    void SSL_CTX_set_verify(SSL_CTX*, int, void*) nogil
    X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX*) nogil
    void SSL_CTX_set_psk_server_callback(SSL_CTX*, psk_callback) nogil
    void SSL_CTX_set_info_callback(SSL_CTX*, info_callback) nogil
    SSL* SSL_new(SSL_CTX*) nogil
    void SSL_free(SSL*) nogil
    int SSL_set_fd(SSL*, int) nogil
    int SSL_set_ex_data(SSL*, int, void*) nogil
    void* SSL_get_ex_data(const SSL*, int) nogil
    void SSL_set_accept_state(SSL*) nogil
    int SSL_do_handshake(SSL*)          # may call `psk_key`
    int SSL_read(SSL*, void*, int)      # may call `count_step`, as others may that shake hands or change keys
    int SSL_write(SSL*, const void*, int)
    int SSL_shutdown(SSL*)
    void SSL_set_shutdown(SSL*, int)
    long SSL_ctrl(SSL*, int, long, void*) nogil
    int SSL_free_buffers(SSL*) nogil
    int SSL_get_error(const SSL*, int) nogil
    int SSL_has_pending(const SSL*) nogil
    const char* SSL_get_version(const SSL*) nogil
    int SSL_session_reused(const SSL*) nogil
    X509* SSL_get1_peer_certificate(const SSL*) nogil
    void X509_free(X509*) nogil
    int i2d_X509(const X509*, unsigned char**) nogil
    int X509_STORE_set_flags(X509_STORE*, unsigned long) nogil
    X509_LOOKUP* X509_STORE_add_lookup(X509_STORE*, X509_LOOKUP_METHOD*) nogil
    X509_LOOKUP_METHOD* X509_LOOKUP_file() nogil
    int X509_load_crl_file(X509_LOOKUP*, const char*, int) nogil
    void ERR_clear_error() nogil
    unsigned long ERR_peek_error() nogil
    unsigned long ERR_peek_last_error() nogil
    const char* ERR_reason_error_string(unsigned long) nogil
    void CRYPTO_free(void*, const char*, int) nogil

# Values of OpenSSL's headers
cdef enum:
    CTRL_MODE = 33
    CTRL_READ_AHEAD = 41
    CTRL_CLEAR_MODE = 78
    CTRL_SESSION_CACHE = 44
    CTRL_SET_TICKET_KEYS = 59
    CTRL_SET_GROUPS = 92
    CTRL_DH_AUTO = 118
    CTRL_MIN_VERSION = 123
    CTRL_MAX_VERSION = 124
    MODE_PARTIAL_WRITE = 1
    MODE_MOVING_WRITE_BUFFER = 2
    MODE_RELEASE_BUFFERS = 16
    VERIFY_PEER = 1
    VERIFY_REQUIRED = 2
    ERROR_WANT_READ = 2
    ERROR_WANT_WRITE = 3
    ERROR_SYSCALL = 5
    ERROR_CLOSED = 6
    RECEIVED_SHUTDOWN = 2
    PEM = 1
    CRL_CHECK = 0x4
    CRL_CHECK_ALL = 0x8
cdef uint64_t OP_NO_TICKET = 1 << 14
cdef uint64_t OP_SERVER_PREFERENCE = 1 << 22
cdef uint64_t OP_NO_RENEGOTIATION = 1 << 30
cdef dict VERSIONS = {"tlsv1": 0x0301, "tlsv1.1": 0x0302, "tlsv1.2": 0x0303, "tlsv1.3": 0x0304}

cdef enum:
    READ_BUFFER = 65536     # raw bytes of one read
    KEPT = 32
    MOST_STEPS = 100        # in one read; a handshake has some twenty

# The connections that were in use lately keep OpenSSL's buffers; the others, thousands perhaps, only while something is
# in them. Borrowed pointers.
cdef void* kept[KEPT]
cdef int oldest = 0


# OpenSSL's own without finite fields, the largest of which costs the server 140 ms a handshake, and a client nothing.
cdef bytes GROUPS = b"X25519:P-256:X448:P-521:P-384"
TICKET_KEYS = 80            # a name, a key for HMAC-SHA-256, one for AES-256


cdef inline void forget_errors() noexcept nogil:
    """Of calls before: clearing goes through sixteen places, most often for nothing."""
    if ERR_peek_error():
        ERR_clear_error()


class TlsError(Exception):
    """OpenSSL refuses a file or an option; the text says which and why, without secrets."""


cdef object complaint(str about):
    cdef const char* reason = ERR_reason_error_string(ERR_peek_last_error())
    ERR_clear_error()
    return TlsError(f"{about}: {reason.decode() if reason != NULL else 'refused'}")


cdef class TlsContext:
    """What the connections of a TLS listener share. Files are read when it is made: a changed file needs a new one,
    and connections keep the one they began with. Paths and words are text, `password` bytes."""

    def __init__(self, *, str certfile=None, str keyfile=None, bytes password=None, str cafile=None, str crlfile=None,
                 bint verify=False, bint require=False, versions=("tlsv1.2", "tlsv1.3"), str ciphers="",
                 str ciphersuites="", bint server_preference=True, bint tickets=True, bytes ticket_keys=None,
                 dict psk=None):
        self.ctx = SSL_CTX_new(TLS_server_method())
        if self.ctx == NULL:
            raise MemoryError
        ERR_clear_error()
        self.tune(server_preference)
        self.use_tickets(tickets, ticket_keys)
        self.set_versions(versions)
        if ciphers and not SSL_CTX_set_cipher_list(self.ctx, ciphers.encode()):
            raise complaint("ciphers")
        if ciphersuites and not SSL_CTX_set_ciphersuites(self.ctx, ciphersuites.encode()):
            raise complaint("ciphersuites")
        if certfile is not None:
            self.load_certificate(certfile, keyfile or certfile, password)
        if cafile is not None:
            self.load_authorities(cafile, crlfile)
        if verify:
            SSL_CTX_set_verify(self.ctx, VERIFY_PEER | (VERIFY_REQUIRED if require else 0), NULL)
        if psk is not None:
            self.psk = psk
            SSL_CTX_set_psk_server_callback(self.ctx, psk_key)

    def __dealloc__(self):
        SSL_CTX_free(self.ctx)

    def tune(self, bint server_preference):
        SSL_CTX_ctrl(self.ctx, CTRL_MODE, MODE_PARTIAL_WRITE | MODE_MOVING_WRITE_BUFFER | MODE_RELEASE_BUFFERS, NULL)
        SSL_CTX_ctrl(self.ctx, CTRL_READ_AHEAD, 1, NULL)
        SSL_CTX_set_default_read_buffer_len(self.ctx, READ_BUFFER)
        SSL_CTX_ctrl(self.ctx, CTRL_SESSION_CACHE, 0, NULL)  # tickets keep the state at the client
        SSL_CTX_ctrl(self.ctx, CTRL_DH_AUTO, 1, NULL)
        SSL_CTX_ctrl(self.ctx, CTRL_SET_GROUPS, 0, <void*><char*>GROUPS)
        SSL_CTX_set_session_id_context(self.ctx, b"mqtt", 4)
        SSL_CTX_set_info_callback(self.ctx, count_step)
        SSL_CTX_set_options(self.ctx, OP_NO_RENEGOTIATION | (OP_SERVER_PREFERENCE if server_preference else 0))

    def use_tickets(self, bint tickets, bytes keys):
        """`keys` are TICKET_KEYS bytes that open the tickets of every context with the same; None: of this one only."""
        SSL_CTX_set_num_tickets(self.ctx, 1 if tickets else 0)
        if not tickets:
            SSL_CTX_set_options(self.ctx, OP_NO_TICKET)
        elif keys is not None and SSL_CTX_ctrl(self.ctx, CTRL_SET_TICKET_KEYS, <long>len(keys), <void*><char*>keys) != 1:
            raise complaint("ticket keys")

    def set_versions(self, versions):
        numbers = sorted(VERSIONS[version] for version in versions)
        SSL_CTX_ctrl(self.ctx, CTRL_MIN_VERSION, numbers[0], NULL)
        SSL_CTX_ctrl(self.ctx, CTRL_MAX_VERSION, numbers[len(numbers) - 1], NULL)

    def load_certificate(self, str certfile, str keyfile, bytes password):
        # Without a password, an empty one: the library would ask at the terminal otherwise.
        self.password = password or b""
        SSL_CTX_set_default_passwd_cb_userdata(self.ctx, <void*><char*>self.password)
        if SSL_CTX_use_certificate_chain_file(self.ctx, certfile.encode()) != 1:
            raise complaint(certfile)
        if SSL_CTX_use_PrivateKey_file(self.ctx, keyfile.encode(), PEM) != 1:
            raise complaint(keyfile)
        if SSL_CTX_check_private_key(self.ctx) != 1:
            raise complaint(keyfile)

    def load_authorities(self, str cafile, str crlfile):
        """Who may sign client certificates, and what they took back."""
        cdef X509_STORE* store = SSL_CTX_get_cert_store(self.ctx)
        cdef X509_NAMES* names
        if SSL_CTX_load_verify_locations(self.ctx, cafile.encode(), NULL) != 1:
            raise complaint(cafile)
        names = SSL_load_client_CA_file(cafile.encode())
        if names == NULL:
            raise complaint(cafile)
        SSL_CTX_set_client_CA_list(self.ctx, names)
        if crlfile is not None:
            if X509_load_crl_file(X509_STORE_add_lookup(store, X509_LOOKUP_file()), crlfile.encode(), PEM) < 1:
                raise complaint(crlfile)
            X509_STORE_set_flags(store, CRL_CHECK | CRL_CHECK_ALL)


cdef void count_step(const SSL* ssl, int where, int result) noexcept:
    """TLS 1.3 lets a client change keys as often as it likes, and OpenSSL reads on as long as it does: here that ends."""
    cdef TlsTransport transport = <TlsTransport>SSL_get_ex_data(ssl, 0)
    transport.steps += 1
    if transport.steps > MOST_STEPS:
        SSL_set_shutdown(transport.ssl, RECEIVED_SHUTDOWN)


cdef unsigned int psk_key(SSL* ssl, const char* identity, unsigned char* key, unsigned int room) noexcept:
    """OpenSSL asks for the key of an identity; 0: there is none."""
    cdef TlsTransport transport = <TlsTransport>SSL_get_ex_data(ssl, 0)
    cdef bytes found = transport.context.psk.get(<bytes>identity)
    if found is None or <size_t>len(found) > room:
        return 0
    memcpy(key, <const char*>found, len(found))
    return <unsigned int>len(found)


cdef class TlsTransport(Transport):
    """The server's side of a TLS connection: `TlsTransport(fd, context)`."""

    def __init__(self, int fd, TlsContext context not None):
        self.fd = fd
        self.place = -1
        self.context = context
        self.ssl = SSL_new(context.ctx)
        if self.ssl == NULL or SSL_set_fd(self.ssl, fd) != 1:
            raise MemoryError
        SSL_set_ex_data(self.ssl, 0, <void*>self)
        SSL_set_accept_state(self.ssl)

    def __dealloc__(self):
        if self.ssl != NULL and self.place >= 0:
            self.let_go()
        SSL_free(self.ssl)

    cdef void keep_buffers(self) noexcept:
        """In place of the one that has kept them longest."""
        global oldest
        if kept[oldest] != NULL:
            (<TlsTransport>kept[oldest]).let_go()
        kept[oldest] = <void*>self
        self.place = oldest
        oldest = (oldest + 1) % KEPT
        SSL_ctrl(self.ssl, CTRL_CLEAR_MODE, MODE_RELEASE_BUFFERS, NULL)

    cdef void let_go(self) noexcept:
        kept[self.place] = NULL
        self.place = -1
        SSL_ctrl(self.ssl, CTRL_MODE, MODE_RELEASE_BUFFERS, NULL)
        SSL_free_buffers(self.ssl)  # what is in use is freed when it is empty

    cdef ssize_t outcome(self, int result) except -2:
        """What a call that did not succeed means: 0 ended, -1 with errno."""
        cdef int error, system = errno
        if self.steps > MOST_STEPS:
            return self.fail("tls_error")
        error = SSL_get_error(self.ssl, result)
        self.more = False
        self.stuck = error == ERROR_WANT_WRITE
        if error == ERROR_WANT_READ or error == ERROR_WANT_WRITE:
            set_errno(EAGAIN)
            return -1
        if error == ERROR_CLOSED:
            return 0
        if error == ERROR_SYSCALL and (system == 0 or system == ECONNRESET or system == EPIPE):
            if system == 0:
                return 0
            set_errno(system)
            return -1
        return self.fail("tls_error" if self.ready else "handshake_failed")

    cdef ssize_t receive(self, uint8_t* p, size_t n, int64_t now) except -2:
        cdef size_t got = 0
        cdef int result
        if self.steps <= MOST_STEPS:
            self.steps = 0
        if not self.ready:
            ERR_clear_error()
            set_errno(0)
            result = SSL_do_handshake(self.ssl)
            if result != 1:
                return self.outcome(result)
            self.ready = True
            self.stuck = False
        elif self.place < 0:
            self.keep_buffers()
        while got < n:
            forget_errors()
            set_errno(0)
            result = SSL_read(self.ssl, p + got, <int>min(n - got, <size_t>0x40000000))
            if result <= 0:
                if got == 0:
                    return self.outcome(result)
                # The bytes first: an end is met again, a wait is told by the poller.
                self.more = SSL_get_error(self.ssl, result) != ERROR_WANT_READ
                return <ssize_t>got
            got += <size_t>result
            if not SSL_has_pending(self.ssl):
                self.more = False
                return <ssize_t>got
        self.more = True
        return <ssize_t>got

    cdef ssize_t transmit(self, const uint8_t* p, size_t n) except -2:
        cdef int result
        if not self.ready:
            set_errno(EAGAIN)
            return -1
        if self.place < 0:
            self.keep_buffers()
        forget_errors()
        set_errno(0)
        result = SSL_write(self.ssl, p, <int>min(n, <size_t>0x40000000))
        if result > 0:
            return result
        if self.outcome(result) == 0:
            set_errno(ECONNRESET)
        return -1

    cdef int close(self) except -1:
        if self.ready and self.failure is None:
            ERR_clear_error()
            SSL_shutdown(self.ssl)
        return 0

    def peer_certificate(self):
        """The client's certificate as DER, or None."""
        cdef X509* certificate = SSL_get1_peer_certificate(self.ssl)
        cdef unsigned char* der = NULL
        cdef int n
        if certificate == NULL:
            return None
        n = i2d_X509(certificate, &der)
        X509_free(certificate)
        if n <= 0:
            return None
        try:
            return <bytes>der[:n]
        finally:
            CRYPTO_free(der, b"", 0)

    @property
    def version(self):
        return SSL_get_version(self.ssl).decode()

    @property
    def resumed(self):
        return bool(SSL_session_reused(self.ssl))
