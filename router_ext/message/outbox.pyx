"""Outboxes: see outbox.pxd. Nothing here touches a Python object."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove

from router_ext.message.message cimport msg_payload, msg_ref, msg_unref

cdef extern from "<sys/socket.h>" nogil:
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        iovec* msg_iov
        size_t msg_iovlen
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    ssize_t send(int fd, const void* buf, size_t n, int flags)
    ssize_t sendmsg(int fd, const msghdr* msg, int flags)

cdef extern from "<string.h>" nogil:
    void* memset(void*, int, size_t)

cdef enum:
    IOVECS = 64
    SMALLEST = 512
    POOLED = 65536          # one size of buffer is kept for reuse: a busy turn fills and empties thousands
    POOL_SLOTS = 128

cdef uint8_t* pool[POOL_SLOTS]
cdef int pooled = 0


cdef uint8_t* take_buffer(size_t cap) noexcept nogil:
    global pooled
    if cap == POOLED and pooled:
        pooled -= 1
        return pool[pooled]
    return <uint8_t*>malloc(cap)


cdef void give_buffer(uint8_t* buf, size_t cap) noexcept nogil:
    global pooled
    if cap == POOLED and pooled < POOL_SLOTS:
        pool[pooled] = buf
        pooled += 1
    else:
        free(buf)


cdef size_t capacity_for(size_t n) noexcept nogil:
    cdef size_t cap = SMALLEST
    while cap < n:
        cap <<= 1
    return cap


cdef uint8_t* outbox_reserve(Outbox* o, size_t n) noexcept nogil:
    """Room for `n` bytes at the tail, to be filled and committed; NULL when memory is out."""
    cdef size_t used = o.tail - o.head
    cdef size_t cap
    cdef uint8_t* buf
    cdef uint32_t i
    if o.tail + n <= o.cap:
        return o.buf + o.tail
    if o.buf != NULL and used + n <= o.cap and o.head >= used:
        memcpy(o.buf, o.buf + o.head, used)
        buf = o.buf
        cap = o.cap
    else:
        cap = capacity_for(used + n)
        if cap < o.cap:
            cap = o.cap
        buf = take_buffer(cap)
        if buf == NULL:
            return NULL
        if used:
            memcpy(buf, o.buf + o.head, used)
        if o.buf != NULL:
            give_buffer(o.buf, o.cap)
    for i in range(o.first, o.count):
        o.splices[i].at -= o.head
    o.buf = buf
    o.cap = cap
    o.head = 0
    o.tail = used
    return buf + used


cdef int outbox_put(Outbox* o, const uint8_t* p, size_t n) noexcept nogil:
    """Copies `n` bytes in; -1 when memory is out."""
    cdef uint8_t* dst = outbox_reserve(o, n)
    if dst == NULL:
        return -1
    memcpy(dst, p, n)
    outbox_commit(o, n)
    return 0


cdef int outbox_splice(Outbox* o, Msg* m) noexcept nogil:
    """The payload of `m` comes next, by reference; -1 when memory is out."""
    cdef Splice* grown
    cdef uint32_t cap
    if o.count == o.splice_cap:
        if o.first:
            memmove(o.splices, o.splices + o.first, (o.count - o.first) * sizeof(Splice))
            o.count -= o.first
            o.first = 0
        else:
            cap = o.splice_cap * 2 if o.splice_cap else 4
            grown = <Splice*>realloc(o.splices, cap * sizeof(Splice))
            if grown == NULL:
                return -1
            o.splices = grown
            o.splice_cap = cap
    o.splices[o.count] = Splice(o.tail, msg_ref(m), 0)
    o.count += 1
    o.pending += m.payload_len
    return 0


cdef size_t fill_iovecs(Outbox* o, iovec* v) noexcept nogil:
    cdef size_t n = 0, at = o.head
    cdef uint32_t i = o.first
    cdef Splice* s
    while n < IOVECS - 1 and i < o.count:
        s = o.splices + i
        if s.at > at:
            v[n] = iovec(o.buf + at, s.at - at)
            n += 1
            at = s.at
        v[n] = iovec(msg_payload(s.msg) + s.done, s.msg.payload_len - s.done)
        n += 1
        i += 1
    if n < IOVECS and i == o.count and o.tail > at:
        v[n] = iovec(o.buf + at, o.tail - at)
        n += 1
    return n


cdef void outbox_consume(Outbox* o, size_t n) noexcept nogil:
    """The first `n` bytes are gone."""
    cdef Splice* s
    cdef size_t step
    o.pending -= n
    while n:
        s = o.splices + o.first if o.first < o.count else NULL
        if s != NULL and s.at == o.head:
            step = s.msg.payload_len - s.done
            if n < step:
                s.done += n
                return
            msg_unref(s.msg)
            o.first += 1
        else:
            step = (s.at if s != NULL else o.tail) - o.head
            if n < step:
                step = n
            o.head += step
        n -= step
    if o.pending == 0:
        outbox_free(o)


cdef size_t outbox_peek(Outbox* o, const uint8_t** p) noexcept nogil:
    """The next bytes that lie together: for transports that encrypt or frame them. 0 when there are none."""
    cdef iovec v[IOVECS]
    if o.pending == 0:
        return 0
    fill_iovecs(o, v)
    p[0] = <const uint8_t*>v[0].iov_base
    return v[0].iov_len


cdef int outbox_send(Outbox* o, int fd, size_t* sent) noexcept nogil:
    """Writes as much as the socket takes. 0: all of it; 1: the socket is full; -1: it failed (errno)."""
    cdef iovec v[IOVECS]
    cdef msghdr h
    cdef ssize_t n
    sent[0] = 0
    while o.pending:
        if o.first == o.count:
            n = send(fd, o.buf + o.head, o.tail - o.head, MSG_NOSIGNAL | MSG_DONTWAIT)
        else:
            memset(&h, 0, sizeof(h))
            h.msg_iov = v
            h.msg_iovlen = fill_iovecs(o, v)
            n = sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT)
        if n < 0:
            if errno == EINTR:
                continue
            return 1 if errno == EAGAIN else -1
        sent[0] += <size_t>n
        outbox_consume(o, <size_t>n)
    return 0


cdef void outbox_free(Outbox* o) noexcept nogil:
    """Lets go of everything held."""
    while o.first < o.count:
        msg_unref(o.splices[o.first].msg)
        o.first += 1
    free(o.splices)
    if o.buf != NULL:
        give_buffer(o.buf, o.cap)
    memset(o, 0, sizeof(Outbox))
