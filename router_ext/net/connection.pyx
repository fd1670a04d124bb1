"""Connections and the egress that flushes them: see connection.pxd."""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdlib cimport free, realloc

from router_ext.net.metrics cimport BYTES_SENT, SLOW_OUTBOXES_FULL, SLOW_OUTBOX_FULL, SLOW_STALLED, Metric
from router_ext.message.outbox cimport outbox_free, outbox_put, outbox_send

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    ssize_t send(int fd, const void* buf, size_t n, int flags)

cdef enum:
    WRITE_THROUGH = 4096    # from this size on bytes go to an idle socket without a copy
    FLUSH_AT = 61440        # an outbox this full is written at once: its bytes are still in the cache, and in one segment
    FLUSH_ALL_AT = 2097152  # so many bytes not yet written end the collecting
    HIGH_WATER = 1048576
    PAUSE_LEAST = 65536     # what a blocked connection may always hold before publishers pause for it


cdef class Connection:
    """A peer with an outbox. Subclasses say how writability is watched and what happens once it drains."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        outbox_free(&self.outbox)

    @property
    def send_pend(self):
        """Bytes that wait for the socket."""
        return self.outbox.pending

    @property
    def is_slow(self):
        return bool(self.slow)

    cdef int wants_write(self, bint on) except -1:
        return 0

    cdef int drained(self) except -1:
        """Called when a blocked connection's outbox fell below the low-water mark."""
        return 0

    cdef int go_on_later(self) except -1:
        """There is more to send to it, in the next turn."""
        return 0

    cdef int put(self, const uint8_t* p, size_t n) except -1:
        """`n` bytes for the peer: written at once when they are many and nothing waits before them, else collected."""
        cdef ssize_t sent = 0
        if (n >= WRITE_THROUGH and self.outbox.pending == 0 and self.fd >= 0 and not self.blocked
                and self.transport is None and not self.failed):
            sent = send(self.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    return self.fail()
                sent = 0
            self.send_oct += <size_t>sent
            self.send_cnt += 1
            self.egress.metrics.v[<int>BYTES_SENT] += <size_t>sent
            if <size_t>sent == n:
                return 0
        if outbox_put(&self.outbox, p + sent, n - <size_t>sent) < 0:
            raise MemoryError
        return self.egress.touch(self, n - <size_t>sent)

    cdef int flush(self) except -1:
        """Writes what the peer takes. A full socket leaves the connection blocked, a failed one `failed`: nothing is
        written to it any more."""
        cdef size_t sent = 0
        cdef int result
        if self.corked:
            return 0
        if self.failed:
            return self.discard_output()
        if self.transport is not None:
            result = self.transport.drain(&self.outbox, &sent)
        elif self.fd < 0:
            return 0
        else:
            result = outbox_send(&self.outbox, self.fd, &sent)
        self.send_oct += sent
        self.send_cnt += 1
        self.egress.pending -= sent
        self.egress.metrics.v[<int>BYTES_SENT] += sent
        if self.epoch != self.egress.epoch:
            self.epoch = self.egress.epoch
            self.egress.active += 1
        if result < 0:
            self.fail()
        elif result == 1:
            self.block(sent)
        elif self.blocked:
            self.unblock()
        if self.blocked and self.outbox.pending < self.egress.pause_at // 4:
            self.drained()
        return 0

    cdef int after_commit(self, uint8_t first_byte, uint16_t pid, uint64_t batch) except -1:
        """A PUBLISH (0x34) or PUBREL (0x62) that goes out once `batch` is on disk."""
        return 0

    cdef int on_commit(self) except -1:
        return 0

    cdef int fail(self) except -1:
        if not self.failed:
            self.failed = True
            self.egress.failures.append(self)
        return 0

    cdef int block(self, size_t sent) except -1:
        if self.blocked:
            self.window_sent += sent
            return 0
        self.blocked = True
        self.window_start = self.stalled_since = self.egress.now
        self.window_sent = 0
        self.egress.blocked.add(self)
        self.egress.share()
        return self.wants_write(True)

    cdef int unblock(self) except -1:
        self.blocked = self.slow = False
        self.egress.blocked.discard(self)
        self.egress.share()
        self.wants_write(False)
        return self.drained()

    cdef bint stalls(self, int64_t now) except? True:
        """Since it blocked, or in the `slow_window` just over, its socket took less than `slow_min_bytes`."""
        if now - self.window_start >= self.egress.slow_window:
            self.flush()  # the poller tells of room only once there is plenty
            if not self.blocked or self.failed:
                return False
            if self.window_sent >= self.egress.slow_min_bytes or self.held_back():
                self.window_start = self.stalled_since = now
                self.window_sent = 0
        return self.window_sent < self.egress.slow_min_bytes

    cdef bint held_back(self) noexcept:
        """It may not read because it cannot write: this end does not read what it sends."""
        return False

    cdef int turn_slow(self, Metric why) except -1:
        self.slow = True
        self.egress.metrics.v[<int>why] += 1
        return self.drained()

    cdef int discard_output(self) except -1:
        """Forgets what was not sent; for a connection whose peer takes nothing more."""
        self.egress.pending -= self.outbox.pending
        if self.blocked:
            self.blocked = False
            self.egress.blocked.discard(self)
            self.egress.share()
        outbox_free(&self.outbox)
        return 0


cdef class Egress:

    def __init__(self, Metrics metrics not None, *, size_t slow_min_bytes=16384, int64_t slow_window=300,
                 int64_t patience=1000):
        """A subscriber is slow when its socket takes less than `slow_min_bytes` in `slow_window` milliseconds, or in
        `patience` when most of them stall."""
        self.metrics = metrics
        self.slow_min_bytes = slow_min_bytes
        self.slow_window = slow_window
        self.patience = patience
        self.failures = []
        self.blocked = set()
        self.limit(1 << 24, 1 << 29)

    def limit(self, size_t one, size_t together):
        """How many bytes may wait for one socket that is full, and for all of them; from 128 KiB on."""
        self.hard_limit = one
        self.high_water = min(<size_t>HIGH_WATER, one // 2)
        self.budget = together
        self.share()

    def __dealloc__(self):
        free(self.dirty)

    cdef int touch(self, Connection c, size_t n) except -1:
        """`n` bytes were added to the outbox of `c`."""
        cdef void** grown
        cdef size_t cap
        self.pending += n
        self.unflushed += n
        if c.blocked and c.outbox.pending > self.hard_limit and not c.slow:
            c.turn_slow(SLOW_OUTBOX_FULL)
        if not c.dirty:
            if self.count == self.cap:
                cap = self.cap * 2 if self.cap else 64
                grown = <void**>realloc(self.dirty, cap * sizeof(void*))
                if grown == NULL:
                    raise MemoryError
                self.dirty = grown
                self.cap = cap
            self.dirty[self.count] = <void*>c
            self.count += 1
            c.dirty = True
        if c.outbox.pending >= FLUSH_AT and not c.blocked:
            c.flush()
        if self.unflushed >= FLUSH_ALL_AT:
            self.flush_all()
        return 0

    cdef int flush_touched_since(self, Connection reader) except -1:
        """Writes what a connection just read has led to at others; it need not wait for all else that is to be read.
        What its own client gets waits for the end of the turn, and so does what comes for the same connection again:
        where many publish to one, that is two writes a turn and not one for each of them."""
        cdef size_t i
        cdef Connection c
        for i in range(self.waiting, self.count):
            c = <Connection>self.dirty[i]
            if c is reader or c.passed == self.turn:
                self.dirty[self.waiting] = <void*>c
                self.waiting += 1
                continue
            c.dirty = False
            c.passed = self.turn
            if c.outbox.pending and not c.blocked:
                c.flush()
        self.count = self.waiting
        if self.count == 0:
            self.unflushed = 0
        return 0

    cdef int flush_all(self) except -1:
        """One write for each connection touched since the last time."""
        cdef size_t i
        cdef Connection c
        self.unflushed = 0
        for i in range(self.count):
            c = <Connection>self.dirty[i]
            c.dirty = False
            if c.outbox.pending and not c.blocked:
                c.flush()
        self.count = self.waiting = 0
        return 0

    cdef int forget(self, Connection c) except -1:
        """Takes a closing connection off the list, which holds borrowed pointers."""
        cdef size_t i
        if c.dirty:
            for i in range(self.count):
                if self.dirty[i] == <void*>c:
                    self.count -= 1
                    self.dirty[i] = self.dirty[self.count]
                    self.waiting = min(self.waiting, self.count)
                    break
            c.dirty = False
        return 0

    def figures(self):
        """{name: number} of what waits for sockets, at this moment."""
        cdef Connection c
        cdef size_t slow = 0, paused = 0
        for c in self.blocked:
            slow += c.slow
            paused += len(c.waiters) if c.waiters is not None else 0
        return {"connections/blocked/count": len(self.blocked), "connections/slow/count": slow,
                "publishers/paused/count": paused, "outboxes/bytes": self.pending}

    cdef int share(self) except -1:
        """How much each blocked connection may hold before those who fill it pause."""
        cdef size_t one = self.budget // 8 // (<size_t>len(self.blocked) + 1)
        self.pause_at = max(<size_t>PAUSE_LEAST, min(self.hard_limit // 2, one))
        return 0

    def judge(self, int64_t now):
        """Looks for subscribers that have become slow; called every few tens of milliseconds.

        One that stalls while others take what they get is slow after a `slow_window`. Where most of them stall the
        cause is more likely at their end together (a machine that has other things to do): they have `patience`."""
        cdef Connection c
        cdef size_t held = 0, writing = max(self.active, self.active_before)
        cdef list stalled
        if now - self.epoch_start >= self.slow_window:
            self.epoch_start = now
            self.epoch += 1
            self.active_before = self.active
            self.active = 0
        if not self.blocked:
            return
        stalled = [c for c in list(self.blocked) if not (<Connection>c).slow and (<Connection>c).stalls(now)]
        for c in stalled:
            if now - c.stalled_since >= (self.slow_window if 2 * <size_t>len(stalled) <= writing else self.patience):
                c.turn_slow(SLOW_STALLED)
        for c in self.blocked:
            held += c.outbox.cap
        if held > self.budget:
            self.relieve(held)

    cdef int relieve(self, size_t held) except -1:
        """The node's outboxes together take too much: the fullest get no more QoS 0 until they have emptied, and where
        those that get none already take it all, nobody whose socket is full does."""
        cdef Connection c
        for c in sorted(self.blocked, key=lambda connection: -connection.send_pend):
            if held <= self.budget:
                break
            if not c.slow:
                held -= min(held, c.outbox.cap)
                c.turn_slow(SLOW_OUTBOXES_FULL)
        return 0
